"""Speed, each measured beside a peer or a physical limit: `python -m benchmarks.<name> [--json FILE]`.

training     a training step beside the published trainer's work, other packages, and the encoder product
extraction   reading activations beside the bare truncated forward, and nnsight
sampling     shuffled batches beside a per-token dataset
attribution  measuring all latents beside a plain encode of the same tokens
precision    FVE of equal trainings in bf16, in fp32, and with short moments
products     bf16 products as crossdiff takes them beside torch's own
store        dictionaries of an 8-bit store beside those of a bf16 one
study        wall time and peak memory of a finished study, by stage
costs        the cost model's predictions beside a finished study
tables       JSON files of the above -> the tables of docs/performance.md and docs/costs.md

The first six need torch, numpy, safetensors and transformers alone, so that they run on a bare GPU machine.
"""
