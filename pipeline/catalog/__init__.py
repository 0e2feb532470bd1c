"""Facts that the whole pipeline shares, as data: one file per noun."""
