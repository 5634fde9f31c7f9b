"""Which texts show when a latent is active."""

from crossdiff.fields import Count
from crossdiff.parts import Part


class Examples(Part):
    """Texts of every called latent, and of some others to hold them against."""

    latents: Count = 200
    """Latents of each dictionary and seed that get texts though nothing called them, in turns: the nearest to a chat-
    or base-specific call, the lowest |ν|, the most frequent."""
    strongest: Count = 8
    """Rows kept of each latent: those in which it is most active."""
    each_bin: Count = 3
    """Rows kept of each bin of its activity (to .25, .5, .75, .95 and 1 of its maximum), drawn at random where the most
    active ones are fewer."""
    window: Count = 16
    """Tokens shown to either side of a row's most active one."""
