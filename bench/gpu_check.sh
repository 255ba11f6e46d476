#!/bin/sh
# For whoever has a GPU: builds plumage, proves it on the device, measures it beside PyTorch. Under 9 minutes on a bare machine
# with nvcc, cuDNN, CMake and a Python that holds PyTorch and torchvision (whose cuDNN will do).
#   bench/gpu_check.sh [--python PYTHON] [--build DIR] [--batch B] [--rehearse]
# Everything goes into DIR/gpu_check (default build-gpu): a log a part, results.jsonl, report.md. No part hides another: the last
# table says how each ended, and the status is 1 if one failed. CMAKE_FLAGS goes to cmake: -DCMAKE_PREFIX_PATH=P where the
# headers that README.md lists are under P/include. --rehearse: the same on the simulated device and PyTorch on the CPU, tiny.
set -u
cd "$(dirname "$0")/.." || exit 2
python=${PLUMAGE_PYTHON:-python3} build='' batch=128 rehearse=''
while [ $# -gt 0 ]; do
  case $1 in
    --rehearse) rehearse=yes && shift ;;
    --python | --build | --batch)
      [ $# -gt 1 ] || { echo "gpu_check: $1 wants a value" >&2 && exit 2; }
      case $1 in --python) python=$2 ;; --build) build=$2 ;; --batch) batch=$2 ;; esac
      shift 2
      ;;
    *) echo "gpu_check: unknown option $1; known: --python --build --batch --rehearse" >&2 && exit 2 ;;
  esac
done
seconds=540 arch=resnet50 px=224 steps=6 queue=65536 bank=5632 width=64 peer=cuda ways=eager,graph,compile+graph,compile flags=-DPLUMAGE_CUDA=ON
[ -n "$rehearse" ] && seconds=3000 arch=resnet18 px=32 batch=2 steps=1 queue=64 bank=8 width=4 peer=cpu ways=eager,graph flags=-DPLUMAGE_CUDA=SIM
build=${build:-$([ -n "$rehearse" ] && echo build-sim || echo build-gpu)}
mkdir -p "$build" && out=$(cd "$build" && pwd)/gpu_check || exit 2
rm -rf "$out" && mkdir -p "$out/plans" || exit 2
export PATH="$PATH:/usr/local/cuda/bin" PLUMAGE_UNFUSED=1 # what cuDNN compiles for a convolution and its statistics takes minutes
began=$(date +%s)

note() { # NAME SECONDS WORDS: a row of the last table
  echo "$1|$2|$3" >> "$out/parts"
  echo "$1: $3 ($2 s)"
}

# part NAME LIMIT COMMAND...: at most LIMIT seconds and what is left in all; its output goes to NAME.log.
part() {
  name=$1 limit=$2 start=$(date +%s)
  shift 2
  left=$((seconds - (start - began)))
  [ "$left" -lt "$limit" ] && limit=$left
  [ "$limit" -gt 0 ] || { note "$name" 0 "failed: no time was left" && return 1; }
  timeout -k 5 "$limit" "$@" > "$out/$name.log" 2>&1
  status=$?
  took=$(($(date +%s) - start))
  [ "$status" -eq 0 ] && return 0
  tail -n 15 "$out/$name.log"
  [ "$status" -eq 124 ] && note "$name" "$took" "failed: not done in $limit s" || note "$name" "$took" "failed: status $status, $name.log"
  return 1
}

# A test binary must pass, with at least one case, and skip nothing.
tests() {
  part "$@" || return 1
  cases=$(sed -n 's/^\[doctest\] test cases:.*| *\([0-9]*\) passed.*/\1/p' "$out/$1.log")
  if grep -q 'skipped: ' "$out/$1.log"; then note "$1" "$took" "failed: $(grep -o 'skipped: .*' "$out/$1.log" | head -n 1)"; return 1; fi
  [ "${cases:-0}" -gt 0 ] && note "$1" "$took" "ok, $cases cases" || note "$1" "$took" "failed: no case ran"
}

# sanitize NAME LIMIT TOOL BINARY CASES
sanitize() {
  if ! command -v compute-sanitizer > /dev/null; then note "$1" 0 "skipped: no compute-sanitizer" && return; fi
  part "$1" "$2" compute-sanitizer --tool "$3" --error-exitcode 9 "$4" "-tc=$5" && note "$1" "$took" "ok"
}

# A line of results.jsonl for each that a measurement printed; what is no result is not among them.
results() { sed -n "s/^{/{\"side\": \"$1\", /p" "$out/$2.log" >> "$out/results.jsonl"; }

# measure STEP LIMIT: plumage, then PyTorch, on the same card at the same size; MoCo v2 also with its views made within the step.
measure() {
  set -- "$1" "$2" --arch "$arch" --px "$px" --batch "$batch" --step "$1" --steps "$steps" --queue "$queue" --compute bf16
  step=$1 limit=$2
  shift 2
  for way in "" --graph "--graph --views"; do
    [ "$step" = moco ] || [ "$way" != "--graph --views" ] || continue # the step that the input pipeline has to be faster than
    name="plumage-$step$(echo "$way" | tr -d ' ')"
    part "$name" "$limit" env PLUMAGE_PLANS="$out/plans" "$build/bench/step" "$@" --width "$width" --bank "$bank" --device cuda:0 $way --json && note "$name" "$took" "ok"
    results plumage "$name"
  done
  if ! "$python" -c 'import torch, torchvision' 2> /dev/null; then
    note "torch-$step" 0 "skipped: $python has no torch and torchvision"
    return
  fi
  part "torch-$step" "$limit" "$python" bench/torch_step.py "$@" --device "$peer" --ways "$ways" &&
    note "torch-$step" "$took" "ok"
  results pytorch "torch-$step"
}

: > "$out/results.jsonl"
part machine 20 sh -c "nvidia-smi; nvcc --version | tail -n 2; cmake --version | head -n 1; '$python' --version; uname -a; nproc" &&
  note machine "$took" ok
cat "$out/machine.log"

# cuDNN from the system, else PyTorch's.
wheel=$("$python" -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])' 2> /dev/null)
if [ -n "$wheel" ] && [ ! -e /usr/include/cudnn_graph.h ] && [ ! -e /usr/include/x86_64-linux-gnu/cudnn_graph.h ] &&
  [ ! -e /usr/local/cuda/include/cudnn_graph.h ]; then
  flags="$flags -DCUDNN_HEADERS=$wheel/include -DCUDNN_LIBRARY=$(ls "$wheel"/lib/libcudnn.so.* | head -n 1)"
fi
targets="plumage bench_step bench_ops test_tensor test_op_cases test_ssl test_cli"
part build 2400 sh -c "cmake -S . -B '$build' $flags ${CMAKE_FLAGS:-} && cmake --build '$build' -j $(nproc) --target $targets" && note build "$took" ok
part info 20 "$build/plumage" info && note info "$took" ok
cat "$out/info.log"

if [ -n "$rehearse" ]; then
  tests test-ops 300 "$build/test_op_cases" '-tc=op cases: update'
  tests test-training 300 "$build/test_ssl" '-tc=device: the same steps twice*'
else
  tests test-ops 120 "$build/test_op_cases"
  tests test-training 90 "$build/test_ssl" '-tc=device:*'
fi
tests test-device 60 "$build/test_tensor" '-tc=device:*'
tests test-program 90 "$build/test_cli" '-tc=a checkpoint holds no device*,the type of compute*'
limit=$([ -n "$rehearse" ] && echo 600 || echo 75)
measure supervised "$limit"
measure moco "$limit"
measure full "$limit"
sanitize memcheck-training 60 memcheck "$build/test_ssl" 'device: the same steps twice*'
sanitize memcheck-ops 60 memcheck "$build/test_op_cases" 'op cases: batch_norm,op cases: pool,op cases: update'
sanitize racecheck-ops 60 racecheck "$build/test_op_cases" 'op cases: reduce,op cases: softmax,op cases: batch_norm'
[ -n "$rehearse" ] || { part ops 40 env PLUMAGE_PLANS="$out/plans" "$build/bench/ops" --arch "$arch" --px "$px" --batch "$batch" --compute bf16 --device cuda:0 && note ops "$took" ok; }

# With the time that is left: is one kernel for a convolution and its statistics faster than two?
if [ -n "$rehearse" ]; then
  : # its engines take no time
elif [ $((seconds - ($(date +%s) - began))) -gt 120 ]; then
  part fused 120 env PLUMAGE_UNFUSED=0 PLUMAGE_PLANS="$out/plans" "$build/bench/step" --arch "$arch" --px "$px" --batch "$batch" --step supervised \
    --steps "$steps" --compute bf16 --width "$width" --device cuda:0 --graph --json &&
    note fused "$took" "ok, faster for $(grep -c '^[0-9].* stats ' "$out"/plans/*.txt) of $(grep -c ' stats ' "$out"/plans/*.txt) convolutions; fused.log beside plumage-supervised--graph.log"
else
  note fused 0 "skipped: no time was left"
fi

"$python" bench/gpu_report.py "$out/results.jsonl" "$batch" > "$out/report.md" && note report 0 ok || note report 0 "failed: gpu_report.py"
{
  echo
  echo "| part | seconds | how it ended |"
  echo "|---|---|---|"
  sed 's/^/| /; s/$/ |/; s/|/ | /g; s/^ | /| /; s/  */ /g; s/ $//' "$out/parts"
  echo
  echo "$(grep -c '|ok' "$out/parts") ok, $(grep -c '|failed' "$out/parts") failed, $(grep -c '|skipped' "$out/parts") skipped; $(($(date +%s) - began)) s in all"
} >> "$out/report.md"
[ -n "$rehearse" ] && echo "A rehearsal: simulated device, PyTorch on the CPU. No number here is a measurement." >> "$out/report.md"
cat "$out/report.md"
! grep -q '|failed' "$out/parts"
