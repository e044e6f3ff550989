"""Probe servers, judge their certificates as the JVM would, and change keystores with a record."""
