"""Speed, each measured beside a peer or a physical limit: `python -m benchmarks.<name> [--json FILE]`.

training     a training step beside the published trainer's work, other packages, and the encoder product
extraction   reading activations beside the bare truncated forward, and nnsight
sampling     shuffled batches beside a per-token dataset
attribution  measuring all latents beside a plain encode of the same tokens
study        wall time and peak memory of a finished study, by stage
costs        the cost model's predictions beside a finished study
tables       JSON files of the above -> the tables of docs/performance.md

The first four need torch, numpy, safetensors and transformers alone, so that they run on a bare GPU machine.
"""
