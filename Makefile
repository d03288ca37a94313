.PHONY: check docs format test test-slow

check:  ## style and types
	ruff check .
	ruff format --check .
	pyright

docs:  ## the documentation, docs/_build/html/index.html
	sphinx-build -W --keep-going -j auto docs docs/_build/html

format:
	ruff check --fix .
	ruff format .

test:  ## the default tests, under ten minutes on two cores
	pytest -n 2 --dist loadfile

test-slow:  ## trainings and long sweeps
	pytest -n 2 --dist loadfile -m slow
