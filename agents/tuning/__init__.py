"""Search for hyper-parameters: `gradgym-train --optimize`, with Optuna, in processes or on a Ray cluster."""
