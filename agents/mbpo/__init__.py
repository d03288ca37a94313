"""MBPO with sample and policy enhancement, and the networks that SAC shares with it."""
