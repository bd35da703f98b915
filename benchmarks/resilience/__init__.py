"""`python -m benchmarks.resilience`: what a provider's outage costs its users, and those of the other providers.

Measured on the production profile as it is deployed, before simulated providers that fail on cue; a healthy run in the same
round is what each run is compared with.
"""
