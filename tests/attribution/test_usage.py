import torch
from made import make_dictionary, make_pairs

from crossdiff.attribution.usage import ROLES, Usage, summed
from crossdiff.corpus.roles import Role


def test_roles_are_in_the_order_of_their_numbers():
    assert [name.upper() for name in ROLES] == [role.name for role in sorted(Role)]


def test_equals_dense_counts_over_batches():
    dictionary, x = make_dictionary(), make_pairs()
    generator = torch.Generator().manual_seed(2)
    source, role = (torch.randint(n, (300,), generator=generator) for n in (2, 5))
    block = torch.arange(300) // 100
    usage = Usage(dictionary.score_weight(), ["web", "chat"], 3)
    for part in torch.arange(300).split(70):
        usage.add(dictionary.codes(x[part]), source[part], role[part], block[part])
    found = usage.columns()
    active = dictionary.encode(x) * dictionary.score_weight()
    on = active > 0
    torch.testing.assert_close(found["frequency"], on.float().mean(0))
    torch.testing.assert_close(found["frequency_chat"], on[source == 1].float().mean(0))
    torch.testing.assert_close(found["max"], active.max(0).values)
    torch.testing.assert_close(found["mean"], active.double().sum(0) / on.sum(0))
    for number, name in enumerate(ROLES):
        here, times = active[role == number], on[role == number].sum(0)
        torch.testing.assert_close(found[f"{name}_share"], times / on.sum(0))
        torch.testing.assert_close(found[f"{name}_mean"], here.sum(0) / times, equal_nan=True)
        largest = torch.where(times > 0, here.max(0).values, torch.nan)
        torch.testing.assert_close(found[f"{name}_max"], largest, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(sum(found[f"{name}_share"] for name in ROLES), torch.ones(11))
    assert not found["dead"].any()
    template = on & (role == ROLES.index("template"))[:, None]
    left = torch.stack([template[block != k].sum(0) / on[block != k].sum(0) for k in range(3)])
    torch.testing.assert_close(
        found["template_share_se"].float(), (2 / 3 * (left - left.mean(0)).square().sum(0)).sqrt()
    )
    assert found["active_blocks"].tolist() == [len(set(block[on[:, j]].tolist())) for j in range(11)]


def test_a_latent_that_never_fires_is_dead_without_a_mean():
    usage = Usage(torch.ones(2), ["web"], 1)
    usage.add(
        (torch.tensor([0, 2]), torch.tensor([1, 1]), torch.tensor([0.5, 2.0])),
        torch.zeros(3).long(),
        torch.zeros(3).long(),
        torch.zeros(3).long(),
    )
    found = usage.columns()
    assert found["dead"].tolist() == [True, False]
    assert bool(found["mean"][0].isnan())
    assert float(found["mean"][1]) == 1.25
    assert float(found["max"][1]) == 2.0
    assert (float(found["bos_mean"][1]), float(found["bos_max"][1])) == (1.25, 2.0)
    assert found["bos_max"].isnan().tolist() == [True, False]
    assert all(bool(found[f"template_{name}"].isnan().all()) for name in ("mean", "max"))


def test_sums_at_each_place_in_the_order_given():
    generator = torch.Generator().manual_seed(3)
    place = torch.randint(8, (500,), generator=generator)
    value = torch.rand(500, generator=generator, dtype=torch.float64)
    wanted = torch.stack([value[place == number].sum() for number in range(8)]).view(2, 4)
    torch.testing.assert_close(summed(value, place, torch.zeros(2, 4)), wanted)
    by_place = torch.argsort(place, stable=True)
    assert torch.equal(summed(value[by_place], place[by_place], wanted), summed(value, place, wanted))
