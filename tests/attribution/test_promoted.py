"""Promoted tokens of a latent, on the heads of tiny models."""

import torch
from made import make_dictionary
from tiny import WIDTH, TinyPair

from crossdiff.attribution.logits import extremes, unembedding
from crossdiff.attribution.promoted import TOKENS, token_table
from crossdiff.pair.blocks import decoder
from crossdiff.pair.load import Pair


def test_the_unembedding_is_norm_and_head_of_the_whole_model(tiny_pair: TinyPair) -> None:
    pair = Pair.read(tiny_pair.json)
    whole, ends = pair.model("chat"), pair.ends("chat")
    h_SD = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))
    rms_S1 = h_SD.square().mean(1, keepdim=True).sqrt()
    logit_SV = whole.get_output_embeddings()(decoder(whole).norm(h_SD)) * rms_S1
    found_VD = unembedding(ends.get_output_embeddings(), decoder(ends).norm)
    torch.testing.assert_close(h_SD @ found_VD.T, logit_SV, rtol=1e-4, atol=1e-4)


def test_extremes_are_those_of_a_full_sort() -> None:
    generator = torch.Generator().manual_seed(1)
    rows, head = torch.randn(3, 4, generator=generator), torch.randn(20, 4, generator=generator)
    found = extremes(rows, head, 6)
    for number in range(3):
        logits = [float((rows[number] * head[token]).sum()) for token in range(20)]
        order = sorted(range(20), key=lambda token: logits[token])
        assert found["suppressed"][0][number].tolist() == order[:6]
        assert found["promoted"][0][number].tolist() == order[::-1][:6]
        centred = logits[order[-1]] - sum(logits) / 20
        torch.testing.assert_close(found["promoted"][1][number, 0].item(), centred, rtol=1e-4, atol=1e-5)
    assert extremes(rows, head, 99)["promoted"][0].shape == (3, 20)


def test_a_latent_that_writes_a_token_promotes_it(llama_pair: TinyPair) -> None:
    pair = Pair.read(llama_pair.json)
    dictionary = make_dictionary(width=WIDTH, latents=4)
    heads = [pair.model(which) for which in ("base", "chat")]
    written = (40, 70)
    for number, (model, token) in enumerate(zip(heads, written, strict=True)):
        dictionary.decoder[number, 2] = unembedding(model.get_output_embeddings(), decoder(model).norm)[token]
    table = token_table(dictionary, [0, 2], pair)
    assert table.height == 2 * 2 * 2 * TOKENS
    tokenizer = pair.tokenizer()
    for which, token in zip(("base", "chat"), written, strict=True):
        rows = table.filter(latent=2, model=which, side="promoted").sort("rank")
        assert rows["logit"].is_sorted(descending=True)
        assert tokenizer.decode([token]) in rows["token"].to_list()[:3]
