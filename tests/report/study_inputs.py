"""What each step of the made-up study reads."""


def inputs(name: str) -> list[str]:
    """What a step reads, under results/<pair>."""
    if name.startswith("null/"):
        read = [file if file.startswith("corpus/") else f"null/{file}" for file in inputs(name.removeprefix("null/"))]
        return [*read, "activations/manifest.json"] if name == "null/activations/run.json" else read
    step, _, rest = name.partition("/")
    early: dict[str, list[str]] = {
        "models": [],
        "pair": [],
        "truth": ["pair/pair.json"],
        "corpus": ["pair/pair.json", "truth/answers.parquet"],
    }
    early["activations"] = ["pair/pair.json", "corpus/rows.parquet"]
    early["dictionaries"] = ["activations/manifest.json"]
    if "synthetic" in name:
        return []
    if step in early:
        return early[step]
    folder = rest.split("/")[0].removesuffix(".run.json")
    if step == "calls":
        return [f"latents/{folder}-seed0.parquet", f"null/latents/{folder}-seed0.parquet"]
    run = folder.removeprefix("steering-")
    own = [] if run == "baselines" else [f"dictionaries/{run}/dictionary.safetensors"]
    return ["activations/manifest.json", "corpus/rows.parquet", *own]
