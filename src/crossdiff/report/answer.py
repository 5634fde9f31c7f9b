"""The answer in plain words, computed from the numbers: also when a baseline wins or nothing was found."""

from collections.abc import Sequence

from markupsafe import Markup

from crossdiff.report import names
from crossdiff.report.collect import Dictionary, Study
from crossdiff.report.numbers import Numbers, written
from crossdiff.report.scoreboard import CONTESTS, words
from crossdiff.report.seeds import ends, mean
from crossdiff.report.words import listed, name, sentence, spelled

Path = tuple[str, ...]
TEMPLATE: Path = ("pair", "kl", "kl_recovered", "all", "template")
DIRECTION: Path = ("directions", "mean-difference", "behaviours_found", "remove")
ADDED: Path = ("directions", "mean-difference", "behaviours_found", "add")


class Answer:
    """Sentences about one study."""

    def __init__(self, study: Study, numbers: Numbers) -> None:
        self.study, self.numbers = study, numbers

    def lead(self) -> list[Markup]:
        """The answer in at most three sentences: the chat model's own latents, what carries the change, the truth."""
        return [text for text in (self.specific(), self.winner(), self.behaviours()) if text]

    def points(self) -> list[tuple[str, Markup]]:
        """(heading, paragraph) of what stands behind the lead."""
        points = [
            ("How far apart are the models?", self.distance()),
            ("Do the chosen latents matter?", self.halves()),
            ("Do baselines do better?", self.baselines()),
            ("How sure is this?", self.certainty()),
        ]
        return [(heading, text) for heading, text in points if text]

    def distance(self) -> Markup:
        """How far apart the models are at the site."""
        text = sentence(
            "At block {layer} the difference between the two models makes up {share} of the activations' variance",
            layer=self.study.config.activations.layer,
            share=self.brief("pair", "difference_share", "overall", style="percent"),
        )
        path = ("pair", "kl", "kl", "all", "base")
        if self.numbers.leaf(*path) is None:
            return text + "."
        return text + sentence(
            "; their predictions lie {kl} nats a token apart (KL).", kl=self.brief(*path, style="nats")
        )

    def winner(self) -> Markup | None:
        """Which dictionary carries most of the difference, beside the template tokens alone."""
        ranked = self.wholes()
        if not ranked:
            return None
        best, path = ranked[0]
        share = self.value(path)
        if share <= 0:
            return Markup(
                "No dictionary's reconstruction closes any of the KL gap between the base and the chat stream."
            )
        text = sentence(
            "Of what tuning changed at this block {best} carries most: its reconstruction closes {share} of the KL gap",
            best=name(best),
            share=self.numbers.show(*path, style="percent"),
        )
        if len(ranked) > 1:
            second, other = ranked[1]
            text += sentence(", before {name} ({share})", name=name(second), share=self.brief(*other, style="percent"))
            text += ", though their intervals overlap" if self.overlap(path, other) else ""
        return text + self.constant(best) + "." + self.template(best)

    def wholes(self) -> list[tuple[str, Path]]:
        """(dictionary, path of its share of the KL gap as a whole), the largest share first."""
        found: list[tuple[str, Path]] = []
        for item in self.study.names:
            table = self.numbers.leaf("dictionaries", item, "kl_recovered", "all")
            if isinstance(table, dict) and (whole := names.whole(table)) is not None:
                found.append((item, ("dictionaries", item, "kl_recovered", "all", whole)))
        return sorted(found, key=lambda pair: -self.value(pair[1]))

    def constant(self, item: str) -> Markup:
        """What of a dictionary's share is one fixed vector, its bias, rather than latents."""
        bias, latents = (("dictionaries", item, "kl_recovered", "all", part) for part in ("bias", "all"))
        if self.numbers.leaf(*bias) is not None:
            return sentence("; its bias alone, one fixed vector, closes {n}", n=self.brief(*bias, style="percent"))
        if self.numbers.leaf(*latents) is not None:
            return sentence("; its latents without the bias close {n}", n=self.brief(*latents, style="percent"))
        return Markup("")

    def template(self, best: str) -> Markup:
        """How the chat stream at template tokens alone does against the best dictionary, by paired conversations."""
        margin = self.numbers.leaf("dictionaries", best, "margins", "all", "whole_over_template")
        if margin is None:
            return Markup("")
        pattern = " The chat model's stream at the template tokens alone closes {n}"
        low, high = ends(margin)
        if high < 0:
            pattern = (
                " <strong>A baseline does better:</strong> the chat model's stream at template tokens alone closes {n}"
            )
        elif low <= 0:
            pattern += ", which is not clearly less"
        return sentence(pattern + ".", n=self.brief(*TEMPLATE, style="percent"))

    def behaviours(self) -> Markup | None:
        """How many planted behaviours the dictionaries find, beside the mean-difference direction."""
        planted = self.numbers.leaf("pair", "behaviours")
        paths = {item: ("dictionaries", item, "behaviours_found", "remove") for item in self.study.names}
        paths = {item: path for item, path in paths.items() if self.numbers.leaf(*path) is not None}
        if not isinstance(planted, dict) or not paths:
            return None
        most = max(self.value(path) for path in paths.values())
        best = [item for item, path in paths.items() if self.value(path) == most]
        if most == 0:
            text = sentence(
                "Of the {total} planted behaviours, no dictionary's latents drive one", total=spelled(len(planted))
            )
        else:
            text = sentence(
                "Of the {total} planted behaviours, the latents of {best} drive {most}",
                total=spelled(len(planted)),
                best="every dictionary" if len(best) == len(paths) > 1 else listed([name(item) for item in best]),
                most=self.numbers.show(*paths[best[0]], style="count"),
            )
        if self.numbers.leaf(*DIRECTION) is None:
            return text + "."
        pattern = "; the plain mean-difference direction drives {n}."
        if self.value(DIRECTION) > most:
            pattern = "; <strong>the plain mean-difference direction does better</strong>, with {n}."
        elif self.value(DIRECTION) == most:
            pattern = "; the plain mean-difference direction drives {n} as well."
        text += sentence(pattern, n=self.brief(*DIRECTION, style="count"))
        added = [("dictionaries", item, "behaviours_found", "add") for item in paths]
        return text + sentence(
            " Added to the base, that direction drives {direction}, the best dictionary's latents {best}.",
            direction=self.brief(*ADDED, style="count"),
            best=self.brief(*max(added, key=self.value), style="count"),
        )

    def specific(self) -> Markup:
        """Latents that only the chat model has, by ν and by norms."""
        if not any(self.value(specific(item)) for item in self.study.dictionaries):
            return Markup(
                "No latent of any dictionary is the chat model's own: none passes Latent Scaling, whatever its decoder"
                " norms say."
            )
        ranked = sorted(self.study.dictionaries, key=lambda item: -self.value(specific(item)))
        counts = [
            sentence("{n} in {name}", n=self.numbers.show(*specific(item), style="count"), name=name(item.name))
            for item in ranked
        ]
        text = sentence("Latent Scaling names latents as the chat model's own: {counts}", counts=listed(counts))
        norms = [("dictionaries", item.name, "classes", "chat-only") for item in ranked if item.two_sided]
        if norms:
            shown = [self.brief(*path, style="count") for path in norms]
            same = len({self.value(path) for path in norms}) == 1
            text += sentence("; decoder norms alone name {n}", n=shown[0] if same else listed(shown))
            text += " in any crosscoder" if same and len(norms) > 1 else ""
        if not self.study.config.null_pair:
            return text + ". How many of these another tune of the same base would show as well was not measured."
        return text + "." + self.on_the_null(ranked)

    def on_the_null(self, ranked: Sequence[Dictionary]) -> Markup:
        """How many latents the same rule names on the null tune, and how many calls are left beside it."""
        there = {item.name: ("dictionaries", item.name, "calls", "null_tune", rule(item)) for item in ranked}
        counts = [
            sentence("{n} in {name}", n=self.brief(*path, "chat-specific", "null", style="count"), name=name(item))
            for item, path in there.items()
            if self.numbers.leaf(*path) is not None
        ]
        counted = "upheld" if self.study.config.synthetic and self.study.config.calibration.synthetic else "calibrated"
        left = [("dictionaries", item.name, "calls", "counts", counted, "chat-specific") for item in ranked]
        left = [path for path in left if self.numbers.leaf(*path) is not None]
        text = sentence(" A tune of the same base on nothing that is looked for gives {counts}", counts=listed(counts))
        if not any(self.value(path) for path in left):
            return text + sentence(
                "; called at a false discovery rate of {q} against it, <strong>none is left</strong>.",
                q=written(self.study.config.calibration.q, "percent"),
            )
        called = [
            sentence("{n} in {name}", n=self.brief(*path, style="count"), name=name(path[1]))
            for path in left
            if self.value(path)
        ]
        return text + sentence(
            "; called at a false discovery rate of {q} against it are {called}.",
            q=written(self.study.config.calibration.q, "percent"),
            called=listed(called),
        )

    def halves(self) -> Markup | None:
        """Whether the most chat-specific latents close more of the gap than a random set of the same size.

        Clearly: the 95 % interval of the difference, from paired conversations, is above 0.
        """
        better: list[Markup] = []
        rest: list[Markup] = []
        for item in self.study.names:
            best, random = (("dictionaries", item, "kl_recovered", "all", part) for part in ("best-nu", "random"))
            if self.numbers.leaf(*best) is None or self.numbers.leaf(*random) is None:
                continue
            values = [self.brief(*path, style="percent") for path in (best, random)]
            text = sentence("{name} ({best} against {random})", name=name(item), best=values[0], random=values[1])
            margin = self.numbers.leaf("dictionaries", item, "margins", "all", "best_over_random")
            (better if margin is not None and ends(margin)[0] > 0 else rest).append(text)
        what = "of the KL gap than a random set of their size"
        if better and rest:
            pattern = "The latents that ν ranks first close clearly more {what} in {better}. They do not in {rest}."
        elif better:
            pattern = "The latents that ν ranks first close clearly more {what}: {better}."
        elif rest:
            pattern = "The latents that ν ranks first close not clearly more {what}: {rest}."
        else:
            return None
        return sentence(pattern, what=what, better=listed(better), rest=listed(rest))

    def baselines(self) -> Markup | None:
        """Where something without a dictionary does better on the planted behaviours than every dictionary."""
        if not self.numbers.metrics.get("behaviours"):
            return None
        return Markup(" ").join(words(self.numbers.metrics, contest) for contest in CONTESTS)

    def certainty(self) -> Markup:
        """Seeds, conversations, and how wide the intervals are."""
        seeds, none = self.study.seeds, self.numbers.leaf("pair", "kl", "kl", "all", "none")
        parts = []
        if isinstance(none, dict):
            parts.append(sentence("KL intervals come from resampling {n} conversations.", n=none["n"]))
        if all(item.origin for item in self.study.dictionaries):
            parts.append(Markup("All dictionaries are imported, one run each, so counts of latents carry no interval."))
            return Markup(" ").join(parts)
        if seeds == 1:
            parts.append(
                Markup("There is one seed, so counts of latents carry no interval; another seed may give others.")
            )
            return Markup(" ").join(parts)
        parts.append(sentence("Counts of latents come from {n} seeds, as 95 % t-intervals.", n=spelled(seeds)))
        if wide := [name(item.name) for item in self.study.dictionaries if self.is_wide(specific(item))]:
            pattern = (
                "They are wide: for {wide} the interval of the chat-specific count is longer than the count itself."
            )
            parts.append(sentence(pattern, wide=listed(wide)))
        return Markup(" ").join(parts)

    def brief(self, *path: str, style: str) -> Markup:
        """A number without its interval."""
        return self.numbers.show(*path, style=style, interval=False)

    def value(self, path: Path) -> float:
        """Point value of a leaf that is there."""
        leaf = self.numbers.leaf(*path)
        if leaf is None:
            raise KeyError(path)
        return mean(leaf)

    def overlap(self, one: Path, other: Path) -> bool:
        """Whether two leaves' intervals overlap."""
        (low, high), (low2, high2) = (ends(self.numbers.leaf(*path) or 0.0) for path in (one, other))
        return low <= high2 and low2 <= high

    def is_wide(self, path: Path) -> bool:
        """Whether the interval of a count is longer than the count."""
        low, high = ends(self.numbers.leaf(*path) or 0.0)
        return high - low > self.value(path) > 0


def rule(item: Dictionary) -> str:
    """Name among the calls of the rule by which `specific` counts."""
    return "nu_pair" if item.two_sided else "nu_0.3"


def specific(item: Dictionary) -> Path:
    """Where a dictionary's count of chat-specific latents stands, by the rule for its kind."""
    return (
        "dictionaries",
        item.name,
        "chat_specific",
        "reconstruction_and_error" if item.two_sided else "activation_0.3",
    )
