"""How far a judge agrees with people: measured by `python -m evaluation.calibration`, published beside the scores.

- `agreement`: kappa, confusion, ranking, and how sure they are. `record`: what is published. Begin here.
- `labelled`: the sets that people labelled. `measuring`: what a judge makes of them. `journal`: what it has made so far.
- `thumbs`: what users thought of runs that were judged.
- `hostile`: how far a text that asks for a grade gets. `tables`: all of it as documents print it.
"""
