"""From the files of a study to its numbers, figures and one page."""
