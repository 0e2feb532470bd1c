"""Error rates of an identification system and their intervals, from arrays of scores (ISO/IEC 19795-1, NIST FRTE 1:N).

Pure: plain arrays in, plain values out, randomness passed in. Scores are cosines; −∞ stands for a probe in which no
face was found (a failure to acquire), which reaches no threshold.
"""
