"""The composition root, inside the replicas: one module per deployment, each on the loop that will use what it opens.

Apart, so that a replica imports what it runs and no more: LangChain and LangGraph alone take seconds to import.
"""
