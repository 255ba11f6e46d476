#!/bin/sh
# The CUDA build where there is no device: nvcc compiles and links the program for sm_80 and sm_90 with warnings as errors; no
# kernel keeps registers in memory (ptxas -v), and those that a step's time hangs on read 16 bytes at a time (counted in the
# PTX, where such an access is one instruction of the device); the program then lists no device, says in one line what
# --device cuda:0 lacks, and trains on the CPU. A device that is there is hidden from it.
#   tests/cuda_build.sh [BUILD]     default: build-cuda; the last line is `ok`, or says what is wrong
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:-build-cuda}
PATH=$PATH:/usr/local/cuda/bin
if ! command -v nvcc > /dev/null; then
  echo "skipped: no nvcc on PATH or in /usr/local/cuda/bin"
  exit 0
fi
rm -rf "$build/ptx" && mkdir -p "$build/ptx" || exit 2
ptx=$(cd "$build/ptx" && pwd)
log=$build/cuda_build.log
fail() {
  echo "failed: $*"
  exit 1
}

cmake -S . -B "$build" -G 'Unix Makefiles' -DPLUMAGE_CUDA=ON -DPLUMAGE_CUDA_ARCHITECTURES='80-real;90' -DPLUMAGE_TESTS=OFF \
  "-DCMAKE_CUDA_FLAGS=-Xptxas=-v --keep --keep-dir=$ptx" > "$log" 2>&1 || {
  if grep -q 'cuDNN .* not found' "$log"; then
    echo "skipped: no cuDNN"
    exit 0
  fi
  cat "$log"
  fail "cmake"
}
rm -f "$build"/CMakeFiles/plumage_tensor.dir/tensor/backend/cuda/kernels/*.o  # what ptxas says is said while compiling
make -C "$build" -j "$(nproc)" -O plumage > "$log" 2>&1 || {
  grep -v '^ptxas info\|stack frame' "$log" | tail -n 60
  fail "the build"
}
times > "$build/times"
echo "built: $(tail -n 1 "$build/times") of processor time (user, system)"

# The kernels; CUB's are its own.
awk '/Function properties for/ { name = $NF } /[1-9][0-9]* bytes spill/ && name !~ /^_ZN3cub/ { print name; print }' "$log" > "$build/spills"
if [ -s "$build/spills" ]; then
  cat "$build/spills"
  fail "kernels spill registers"
fi
wide='batch_norm_stats_chunk batch_norm_apply batch_norm_bwd_chunk batch_norm_bwd_apply map_kernel update_list max_pool_fwd
  max_pool_bwd upsample_fwd upsample_bwd
  views_gather views_blur'  # parts of names: a kernel of each must load 16 bytes at a time
for arch in 80 90; do
  # kernel, 16-byte loads
  awk '
    /\.entry/ { entry = $0; sub(/.*\.entry /, "", entry); sub(/\(.*/, "", entry); loads = 0 }
    /ld\.global.*\.(v4\.[bfus]32|v2\.[bfus]64)/ { ++loads }
    /^}/ { if (entry != "") print entry, loads; entry = "" }
  ' "$ptx"/*.compute_$arch.ptx > "$ptx/kernels"
  compiled=$(grep -c "Compiling entry function .*sm_$arch" "$log")
  entries=$(wc -l < "$ptx/kernels")
  [ "$compiled" -gt 0 ] && [ "$compiled" -eq "$entries" ] || fail "sm_$arch: $entries kernels in the PTX, ptxas compiled $compiled"
  for kernel in $wide; do
    grep "$kernel" "$ptx/kernels" | awk '$2 > 0 { found = 1 } END { exit !found }' ||
      fail "sm_$arch: no $kernel loads 16 bytes at a time"
  done
  echo "sm_$arch: $entries kernels, no spills, $(awk '$2 > 0' "$ptx/kernels" | wc -l) load 16 bytes at a time"
done
rm -rf "$ptx"

# The program without a device.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
plumage() { CUDA_VISIBLE_DEVICES= "$build/plumage" "$@"; }
if ldd "$build/plumage" | grep -q 'libcuda\.so'; then fail "the program is linked with the driver's library"; fi
plumage info > "$scratch/info" || fail "plumage info"
grep -q '^devices  *none: .*--device cpu$' "$scratch/info" || {
  cat "$scratch/info"
  fail "plumage info does not say that there is no device"
}
plumage synth "$scratch/birds" --classes 2 --per-class 8 --px 16 > /dev/null 2>&1 || fail "plumage synth"
pretrain() {
  plumage pretrain --data "$scratch/birds" --dataset synthetic --out "$scratch/$1" --device "$1" --set encoder.width=4 \
    --set train.size=16 --set train.batch=8 --set train.epochs=1 --set pairs.nu=0 --set pairs.alpha=0 --set moco.dim=8 > "$scratch/log" 2>&1
}
pretrain cuda:0
code=$?
words='^plumage: device cuda:0: .*; .*, or use --device cpu$'
if [ "$code" -ne 2 ] || [ "$(wc -l < "$scratch/log")" -ne 1 ] || ! grep -q "$words" "$scratch/log"; then
  cat "$scratch/log"
  fail "--device cuda:0: status $code, wanted 2 and one line that says what is missing"
fi
cat "$scratch/log"
pretrain auto && [ -s "$scratch/auto/checkpoint.safetensors" ] || {
  cat "$scratch/log"
  fail "--device auto does not train on the CPU"
}
echo "ok"
