"""Small models inside a job: gradient-boosted trees in plain numpy, from a text file that anyone can read.

What is common to all of them (platform convention C7): a model is looked for in MLflow (`base-<module>-<model>`, alias
`champion`, at most 2 s, and only where a tracking URI is set), then in the package; where neither can be had, or the
model is not sure, a deterministic rule decides, and who decided is reported. No pickle anywhere.

    base_ops/<module>/models/<model>/   features · samples · training · model.json (packaged)
"""
