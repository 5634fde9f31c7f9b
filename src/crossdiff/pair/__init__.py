"""Get a pair of models, check that it can be diffed, and read or replace the stream at the site."""
