"""Alerts: something has changed that an operator should know, and whoever is to be told of it is told.

types.py          an alert, and what is to be said of it
delivery.py       the outbox: what is due to which channel; services/sending.py sends it
webhook.py        the channel that posts signed JSON
alertmanager.py   the channel that is Prometheus' Alertmanager
"""
