"""Whether answers are still as good as they were: one detector for each series of judged answers, as pure values.

    level.py       the mean of a score: CUSUM charts against a reference that learns, an episode, its end
    windows.py     the whole distribution of a score, a length, a latency: PSI and Kolmogorov-Smirnov, window by window
    series.py      both for one series, as it is stored
    watcher.py     one replica at a time reads what was judged and says what changed

docs/evaluation.md says what is detected after how many answers; `python -m benchmarks.drift` measures it.
"""
