"""Where tokens stand, against what the blocks of the same view say."""

import pytest
import torch
from stored import write

from crossdiff.activations.places import lengths, places
from crossdiff.activations.store import Activations


@pytest.mark.parametrize("split", ["train", "validation"])
def test_places_are_those_of_the_blocks(tmp_path, split):
    view = Activations.open(write(tmp_path, [[4, 7, 3], [9], [1, 1, 6, 2, 8]])).view(split)
    blocks = list(view.blocks(5))
    row_N, position_N = places(view)
    assert torch.equal(row_N, torch.cat([block.row_B for block in blocks]).long())
    assert torch.equal(position_N, torch.cat([block.position_B for block in blocks]).long())
    assert row_N.dtype == position_N.dtype == torch.int64


def test_rows_that_are_not_there_have_no_length():
    found = lengths(torch.tensor([4, 1], dtype=torch.int32), torch.tensor([7, 2], dtype=torch.int32), 6)
    assert found.tolist() == [0, 2, 0, 0, 7, 0]
