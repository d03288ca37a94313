"""Policies for dexterous manipulation by differentiable physical consistency.

After Ruppel, Hendrich and Zhang, "Learning Dexterous Manipulation with Differentiable Physical Consistency".
"""
