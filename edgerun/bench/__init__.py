"""Performance, always beside the floor that the same machine reached in the same minutes.

Figures mean little across machines and runs; ratios do. So each measurement is taken in turns with its floor (the
bare engine, the plain decode loop, another project's tracker), several times, and told as median, least and most.
"""
