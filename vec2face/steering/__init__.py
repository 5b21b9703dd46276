"""Attribute steering: samples moved, one by one and within limits, until estimators measure what was asked for."""
