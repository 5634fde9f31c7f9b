"""Key/value cache with room for what is still to come, so that a step of generation writes only its new tokens.

transformers' growing cache copies itself at each step, which on a CPU costs as much as the step's matrix products.

R rows, H key/value heads, T positions, E width of a head.
"""

from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


class RoomyLayer(DynamicLayer):
    """Keys and values [R, H, T, E] of one block: the first T of ``room`` positions reserved at the first update."""

    def __init__(self, room: int):
        super().__init__()
        self.room = room

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Reserve the positions, in the dtype and on the device of the first keys and values."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._reserved = [
            states.new_empty(*states.shape[:2], self.room, states.shape[-1]) for states in (key_states, value_states)
        ]
        self._fill(0)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new positions; gives all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if end > self.room:
            raise ValueError(f"the cache has room for {self.room} positions, and position {end} was to be written")
        for reserved, states in zip(self._reserved, (key_states, value_states), strict=True):
            reserved[:, :, start:end] = states
        return self._fill(end)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows; nothing to do for a block that has not run."""
        if not self.is_initialized:
            return
        self._reserved = [reserved[indices] for reserved in self._reserved]
        self._fill(self.get_seq_length())

    def _fill(self, length: int) -> tuple[Tensor, Tensor]:
        keys, values = (reserved[:, :, :length] for reserved in self._reserved)
        self.keys, self.values = keys, values
        return keys, values


def roomy_cache(config: PreTrainedConfig, room: int) -> DynamicCache:
    """A cache for ``room`` positions; blocks with a sliding window keep transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
