"""`python -m benchmarks.micro`: what breaker, limit, retry budget, stream validator and output screen cost, per call or chunk.

The one place of the benchmarks that imports what it measures: these are costs of one operation, which no client could see.
"""
