"""`make serve`: database, model, cluster and application, started in one process tree and stopped with it."""
