#!/usr/bin/env bash
# Build wheel and sdist, install the wheel in a bare environment without the sources on its path, and use it there.
#
#     tools/check_wheel.sh [PYTHON of the development environment, .venv/bin/python]
#
# Nothing is fetched: the environment gets the wheel's own dependencies from uv's cache; where that is empty, it reads them from
# the development environment instead (and then cannot tell whether one is missing in pyproject.toml).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=$(realpath -s "${1:-$root/.venv/bin/python}")
uv=$(dirname "$python")/uv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH PYTHONDONTWRITEBYTECODE

cd "$root"
"$python" -m hatchling build -d "$work/dist" >/dev/null
"$python" tools/package_contents.py "$work"/dist/*.whl "$work"/dist/*.tar.gz

# the wheel that the sdist makes is the wheel
mkdir "$work/unpacked" && tar -xzf "$work"/dist/*.tar.gz -C "$work/unpacked" --strip-components 1
(cd "$work/unpacked" && "$python" -m hatchling build -t wheel -d "$work/again" >/dev/null)
"$python" tools/package_contents.py --same "$work"/dist/*.whl "$work"/again/*.whl

"$uv" venv --quiet --python "$python" "$work/bare"
bare=$work/bare/bin
if "$uv" pip install --quiet --offline --python "$bare/python" --constraint constraints.txt "$work"/dist/*.whl 2>"$work/why"; then
  echo "installed with the dependencies it states"
else
  echo "uv's cache cannot install it ($(tail -1 "$work/why")): dependencies from the development environment"
  "$uv" pip install --quiet --offline --no-deps --python "$bare/python" "$work"/dist/*.whl
  "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$("$bare/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/heavy.pth"
fi

cd "$work"
case $("$bare/python" -c 'import biocosmos; print(biocosmos.__file__)') in
  "$work"/bare/*) ;;
  *) echo "biocosmos is not the installed one" && exit 1 ;;
esac
"$bare/biocosmos" --version
"$bare/biocosmos" --help >/dev/null
if "$bare/biocosmos" doctor --help >/dev/null 2>&1; then "$bare/biocosmos" doctor; fi
"$bare/biocosmos" train recipes >/dev/null
"$bare/biocosmos" train slurm >/dev/null
"$bare/biocosmos" demo -o demo
test -s demo/report/report.html
echo "wheel and sdist: used from a bare environment"
