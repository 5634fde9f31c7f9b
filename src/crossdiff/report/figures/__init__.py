"""Figures of the report: data, Vega-Lite specification, source files; drawn without a browser."""
