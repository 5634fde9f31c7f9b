"""What a study costs: seconds, memory and disk of each stage, before anything runs.

`sizes` holds what is counted and three constants of a machine, `seconds` the formulas, `stages` puts a study together;
all three are pure arithmetic. `machine` measures the constants, `estimate` reads the sizes from a config, and
`crossdiff check` prints the outcome. `python -m benchmarks.costs` holds the model beside a finished study.
"""
