#!/bin/sh
# Runs every test binary of a build folder and adds up: the last line is `N passed, 0 failed, K skipped`.
# --fast leaves out the cases marked [slow]; --device runs what concerns a CUDA device, real or simulated, and nothing
# else; --races of that the kernels that share memory: conv2d's own ones are those of matmul, updates share none.
set -u
build=$1
part=${2:-}
cd "$(dirname "$0")/.." || exit 2
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for binary in "$build"/test_*; do
  [ -x "$binary" ] || continue
  name=$(basename "$binary")
  case $part in
    --fast) set -- "-tce=*[slow]*" ;;
    --device)
      case $name in
        test_cuda_sim | test_op_cases | test_tensor) set -- ;;
        test_ssl | test_cli | test_data | test_eval) set -- "-tc=*device*" ;;
        *) continue ;;
      esac ;;
    --races)
      case $name in
        test_op_cases) set -- "-tce=*conv2d*,*update" ;;
        test_data) set -- "-tc=*device*" ;;
        *) set -- ;;
      esac ;;
    *) set -- ;;
  esac
  "$binary" "$@" >"$log" 2>&1
  status=$?
  line=$(grep -E '\[doctest\] test cases:' "$log" | tail -n 1)
  p=$(echo "$line" | sed -n 's/.*| *\([0-9]*\) passed.*/\1/p')
  f=$(echo "$line" | sed -n 's/.*| *\([0-9]*\) failed.*/\1/p')
  s=$(grep -c 'skipped: ' "$log")
  if [ -z "$p" ] || { [ "$status" -ne 0 ] && [ "${f:-0}" -eq 0 ]; }; then f=$((${f:-0} + 1)); fi
  passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + s))
  echo "$name: ${p:-0} passed, ${f:-0} failed, $s skipped"
  grep -o 'skipped: .*' "$log" | sort -u | sed 's/^/  /'
  [ "${f:-0}" -eq 0 ] || cat "$log"
done

# A case that skipped did not pass.
passed=$((passed - skipped))
[ "$passed" -ge 0 ] || passed=0
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
