"""`python -m benchmarks.micro`: what breaker, limit, retry budget and stream validator cost per call and per chunk.

The one place of the benchmarks that imports what it measures: these are costs of one operation, which no client could see.
"""
