# make demo, make test: from a fresh clone, without root, with nothing prepared. Python >= 3.11 is all that must be there.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

# uv does not compile what it installs: let the first run keep its bytecode, or every start compiles torch again
unexport PYTHONDONTWRITEBYTECODE

# where the numbers of an encoder or a training decide
NUMBERS = tests/encoders tests/embed tests/train tests/jobs/test_tokens_dial.py tests/evaluate/test_evaluate_interpolate.py
AVX2 = BIOCOSMOS_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2

# a process a core, each of one thread: two of two threads wait for one another
WORKERS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# the tests of pages need a browser, which comes from the system: apt-get install chromium
CHROMIUM := $(firstword $(shell command -v chromium chromium-browser google-chrome 2>/dev/null))

.PHONY: demo test browser both quick lint coverage hostile docs package wheel bench clean

demo: $(STAMP)
	$(BIN)/biocosmos demo -o demo

# pip is in every venv; uv does the same work in a tenth of the time
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

test: lint browser
	$(PYTEST)

browser:
	@$(if $(CHROMIUM),echo "pages are tested in $(CHROMIUM)",echo "no Chromium here: the tests of pages are skipped; apt-get install chromium runs them")

# what "auto" may come to on other processors: bfloat16, and float32 without AVX-512
both: $(STAMP)
	BIOCOSMOS_CHOOSE=precision=bfloat16 $(PYTEST) $(NUMBERS)
	BIOCOSMOS_CHOOSE=precision=float32 $(AVX2) $(PYTEST) tests/encoders tests/search \
		tests/train/test_train_unicom.py tests/evaluate/test_evaluate_interpolate.py

quick: $(STAMP)
	$(BIN)/python -m pytest -x --ff

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the floor is in pyproject.toml; processes that tests start are measured too
coverage: $(STAMP) browser
	$(BIN)/python -m coverage erase
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -n $(WORKERS) --dist loadfile
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered > .coverage.txt; said=$$?; tail -n 4 .coverage.txt; exit $$said

# 200 kills, and every malformed input: about half an hour on two cores; CI runs a sample of both (tests/hostile/test_harnesses.py)
hostile: $(STAMP)
	$(BIN)/python -W ignore tests/hostile/kills.py
	$(BIN)/python -W ignore tests/hostile/fuzz.py --keep failing

docs: $(STAMP)
	$(BIN)/zensical build --config-file mkdocs.yml

package: $(STAMP)
	tools/check_wheel.sh $(BIN)/python

wheel: $(STAMP)
	$(BIN)/uv build --python $(BIN)/python --wheel

bench: $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[bench]'
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) demo dist site .cache .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
