"""The answer in plain words, computed from the numbers: also when a baseline wins or nothing was found."""

from collections.abc import Sequence

from markupsafe import Markup

from crossdiff.report import gap, moved
from crossdiff.report.candidates import LEAST, candidates, scaled
from crossdiff.report.collect import Dictionary, Study
from crossdiff.report.latents import rule, specific
from crossdiff.report.limits import nulls_named, tune
from crossdiff.report.numbers import Numbers, setting, written
from crossdiff.report.rates import verdict
from crossdiff.report.seeds import ends
from crossdiff.report.words import listed, name, sentence, spelled

Path = tuple[str, ...]


class Answer:
    """Sentences about one study."""

    def __init__(self, study: Study, numbers: Numbers) -> None:
        self.study, self.numbers = study, numbers

    def question(self) -> Markup:
        """What the study asks of its pair."""
        planted = self.numbers.leaf("pair", "behaviours")
        if isinstance(planted, dict):
            return sentence(
                "What do {n} planted behaviours change inside this model, and which dictionary shows it?",
                n=spelled(len(planted)),
            )
        return Markup("What does chat tuning change inside this model, and which dictionary shows it?")

    def lead(self) -> list[Markup]:
        """The answer in three sentences: the chat model's own latents, what carries the change, the planted truth."""
        return [
            text
            for text in (
                self.specific(),
                gap.winner(self.numbers),
                moved.shifts(self.numbers, self.study.config.evidence.random_sets),
            )
            if text
        ]

    def points(self) -> list[tuple[str, Markup]]:
        """(heading, paragraph) of what stands behind the lead."""
        points = [
            ("Which latents are candidates?", candidates(self.study, self.numbers, self.ranked())),
            ("How far apart are the models?", self.distance()),
            ("Do dictionaries hold what changed?", gap.rest(self.numbers)),
            ("Do the chosen latents matter?", gap.halves(self.numbers)),
            ("Do baselines do better?", moved.baselines(self.numbers)),
            ("How sure is this?", self.certainty()),
        ]
        return [(heading, text) for heading, text in points if text]

    def first_by_nu(self) -> Markup:
        """How many latents the main figure shows beside a whole dictionary, by the first that has such a set."""
        for item in self.numbers.metrics["dictionaries"]:
            path = ("dictionaries", item, "patched", "best-nu")
            if self.numbers.leaf(*path) is not None:
                return sentence(
                    "First by ν: {some} of {all} latents in {name}, of those most like the chat model's own the half"
                    " that ν ranks first. ",
                    some=self.numbers.brief(*path, style="count"),
                    all=self.numbers.brief("dictionaries", item, "latents", style="count"),
                    name=name(item),
                )
        return Markup()

    def distance(self) -> Markup:
        """How far apart the models are at the site, as whole models and in what the chat model's top makes of it."""
        text = sentence(
            "At block {layer} the difference between the two models makes up {share} of the activations' variance",
            layer=setting(self.study.config.activations.layer, "activations", "layer"),
            share=self.numbers.brief("pair", "difference_share", "overall", style="percent"),
        )
        path = ("pair", "kl", "kl", "all", "base")
        if self.numbers.leaf(*path) is None or self.numbers.leaf(*gap.GAP) is None:
            return text + "."
        return text + sentence(
            "; their predictions lie {kl} nats a token apart (KL), and {gap} with the base's stream at this block in"
            " the chat model's upper blocks. Shares of “the KL gap” are shares of the latter.",
            kl=self.numbers.brief(*path, style="nats"),
            gap=self.numbers.brief(*gap.GAP, style="nats"),
        )

    def specific(self) -> Markup:
        """Latents that only the chat model has, and how that is known."""
        ranked = self.ranked()
        if not any(self.numbers.point(specific(item)) for item in ranked):
            return Markup(
                "No latent of any dictionary is the chat model's own: none passes Latent Scaling, whatever its decoder"
                " norms say."
            )
        if not self.study.config.null_pair:
            return (
                scaled(self.numbers, ranked)
                + "; how many another tune of the same base would show as well was not measured."
            )
        return self.verdict(ranked) + self.untested()

    def untested(self) -> Markup:
        """Imported dictionaries, which no null of their recipe calibrates."""
        names = [name(item) for item in self.study.config.imported]
        return (
            sentence(" Not tested, for want of a null of its recipe: {names}.", names=listed(names))
            if names
            else Markup()
        )

    def ranked(self) -> list[Dictionary]:
        """Dictionaries, the one with the most latents that are chat-specific by ν first."""
        return sorted(self.study.dictionaries, key=lambda item: -self.numbers.point(specific(item)))

    def verdict(self, ranked: Sequence[Dictionary]) -> Markup:
        """Whether latents are called that a tune on nothing that is looked for does not show as well."""
        both = self.study.config.synthetic_null
        left = self.called(ranked, "upheld" if both else "calibrated")
        text = sentence(
            "<strong>{left} from what a null tune adds</strong>: at a nominal false discovery rate of {rate} ",
            left=sentence("{left} can be told", left=left) if left else "No chat-specific latent can be told",
            rate=setting(written(self.study.config.calibration.q, "percent"), "calibration", "q"),
        )
        null = sentence("<em>null tune</em>, {tune}", tune=tune(self.study))
        if not both:
            return text + sentence("the {null}, lets pass {what}.", null=null, what="these" if left else "none")
        called = self.called(ranked, "calibrated")
        return text + sentence(
            "a synthetic null lets pass {called}{which}{there}, and the {null}, upholds {what}{fewer}{base}.",
            called=called or "no latent",
            which=Markup(' (<a href="#find?kind=chat-specific">which</a>)') if called else "",
            there=self.called_there(ranked),
            null=null,
            what="these" if left else "none of them",
            fewer=Markup() if left else self.too_few(ranked),
            base=self.of_the_base(ranked),
        )

    def too_few(self, ranked: Sequence[Dictionary]) -> Markup:
        """How many latents the null tune would have to see before it could uphold any; empty where that is unknown."""
        paths = [("dictionaries", item.name, "calls", "power_upheld", *LEAST) for item in ranked]
        known = [path for path in paths if self.numbers.leaf(*path) is not None]
        if not known:
            return Markup()
        most = self.numbers.brief(*max(known, key=self.numbers.point), style="count")
        return sentence(" (it could not uphold fewer than {n} in a dictionary)", n=most)

    def of_the_base(self, ranked: Sequence[Dictionary]) -> Markup:
        """How many latents that only the base has are upheld; empty where none is."""
        upheld = self.called(ranked, "upheld", "base-specific")
        return sentence("; of those that only the base has it upholds {n}", n=upheld) if upheld else Markup()

    def called_there(self, ranked: Sequence[Dictionary]) -> Markup:
        """How many latents the same calls name on the null tune; empty where none does."""
        key = ("calls", "null_tune", "calibrated on the synthetic null", "chat-specific", "null")
        paths = [("dictionaries", item.name, *key) for item in ranked]
        named = [path for path in paths if self.numbers.value(*path)]
        counts = [
            sentence("{n} in {name}", n=self.numbers.brief(*path, style="count"), name=name(path[1])) for path in named
        ]
        return sentence(" (and on the null tune {counts})", counts=listed(counts)) if counts else Markup()

    def on_the_null(self, ranked: Sequence[Dictionary]) -> Markup:
        """How many latents the same rule names on the null tune."""
        there = {item.name: ("dictionaries", item.name, "calls", "null_tune", rule(item)) for item in ranked}
        counts = [
            sentence(
                "{n} in {name}", n=self.numbers.brief(*path, "chat-specific", "null", style="count"), name=name(item)
            )
            for item, path in there.items()
            if self.numbers.leaf(*path) is not None
        ]
        return (
            sentence("On the null tune Latent Scaling names {counts}.", counts=listed(counts)) if counts else Markup()
        )

    def called(self, ranked: Sequence[Dictionary], how: str, call: str = "chat-specific") -> Markup:
        """How many latents are called so in which dictionary; empty where none is."""
        paths = [("dictionaries", item.name, "calls", "counts", how, call) for item in ranked]
        return listed(
            [
                sentence("{n} in {name}", n=self.numbers.show(*path, style="count"), name=name(path[1]))
                for path in paths
                if self.numbers.leaf(*path) is not None and self.numbers.point(path)
            ]
        )

    def certainty(self) -> Markup:
        """Calls and their null, seeds, conversations, and how wide the intervals are."""
        parts = [*self.rates(), self.on_the_null(self.study.dictionaries), *self.intervals()]
        return Markup(" ").join(part for part in parts if part)

    def rates(self) -> list[Markup]:
        """At which rate and against which null latents are called, and whether the rate is met where it was tested."""
        null = nulls_named(self.study)
        if null is None:
            return [Markup("No null was given, so no latent is called and no count has a false-positive rate.")]
        text = sentence(
            "Latents are called at a stated false discovery rate of {q} against {null}.",
            q=setting(written(self.study.config.calibration.q, "percent"), "calibration", "q"),
            null=null,
        )
        met = verdict(self.numbers.metrics["calibration"], self.study.config.calibration.q)
        return [text] if met is None else [text, met + "."]

    def intervals(self) -> list[Markup]:
        """Where intervals come from, and counts whose interval is wide."""
        seeds, none = self.study.seeds, self.numbers.leaf(*gap.GAP)
        parts = []
        if isinstance(none, dict):
            parts.append(
                sentence(
                    "KL intervals come from resampling {n} conversations, with the dictionaries as they are.",
                    n=self.numbers.brief(*gap.GAP, "n", style="count"),
                )
            )
        if all(item.origin for item in self.study.dictionaries):
            return [
                *parts,
                Markup("All dictionaries are imported, one run each, so counts of latents carry no interval."),
            ]
        if seeds == 1:
            return [
                *parts,
                Markup("There is one seed, so counts of latents carry no interval; another seed may give others."),
            ]
        parts.append(sentence("Counts of latents come from {n} seeds, as 95 % t-intervals.", n=spelled(seeds)))
        if wide := [name(item.name) for item in self.study.dictionaries if self.is_wide(specific(item))]:
            pattern = (
                "They are wide: for {wide} the interval of the chat-specific count is longer than the count itself."
            )
            parts.append(sentence(pattern, wide=listed(wide)))
        return parts

    def is_wide(self, path: Path) -> bool:
        """Whether the interval of a count is longer than the count."""
        low, high = ends(self.numbers.leaf(*path) or 0.0)
        return high - low > self.numbers.point(path) > 0
