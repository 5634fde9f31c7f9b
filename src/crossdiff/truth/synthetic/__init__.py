"""A pair of models with known answers: factors in superposition, some of which only one model has."""
