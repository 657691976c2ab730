"""Impact: what an Initiative changed, who took it up, and whether people and sensors agree.

Pure statistics: arrays or frames in, plain values out; no I/O, no clock, no global random state.
From a notebook: ``from livinglab.impact import effects, guards, adoption, agreement``.
"""
