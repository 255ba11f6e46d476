#!/bin/sh
# What the compiler makes of the CUDA kernels: none keeps registers in memory (ptxas -v), and those that a step's time hangs
# on read 16 bytes at a time (counted in the PTX, where such an access is one instruction of the device).
#   tests/cuda_kernels.sh [ARCH...]     default: sm_90; a line a file, then `ok` or what is wrong
set -u
cd "$(dirname "$0")/.." || exit 2
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if [ ! -x "$nvcc" ]; then
  echo "skipped: no nvcc on PATH or in /usr/local/cuda/bin"
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# Parts of names: a kernel of each must load 16 bytes at a time.
wide='batch_norm_stats_chunk batch_norm_apply batch_norm_bwd_chunk batch_norm_bwd_apply map_kernel update_list max_pool_fwd
  max_pool_bwd upsample_fwd upsample_bwd'

for arch in ${*:-sm_90}; do
  : > "$scratch/kernels"
  for source in tensor/backend/cuda/kernels/*.cu; do
    name=$(basename "$source" .cu)
    "$nvcc" -std=c++20 -O3 --expt-relaxed-constexpr -arch="$arch" -ptx -I. "$source" -o "$scratch/$name.ptx" || exit 1
    "$(dirname "$nvcc")/ptxas" -v -arch="$arch" "$scratch/$name.ptx" -o "$scratch/$name.cubin" 2> "$scratch/$name.log" || {
      cat "$scratch/$name.log"
      exit 1
    }
    # kernel, 16-byte loads
    awk '
      /\.entry/ { entry = $0; sub(/.*\.entry /, "", entry); sub(/\(.*/, "", entry); loads = 0 }
      /ld\.global.*\.(v4\.[bfus]32|v2\.[bfus]64)/ { ++loads }
      /^}/ { if (entry != "") print entry, loads; entry = "" }
    ' "$scratch/$name.ptx" > "$scratch/$name.entries"
    cat "$scratch/$name.entries" >> "$scratch/kernels"
    spills=$(grep -cE '[1-9][0-9]* bytes spill' "$scratch/$name.log")
    registers=$(sed -n 's/.*Used \([0-9]*\) registers.*/\1/p' "$scratch/$name.log" | sort -n | tail -n 1)
    echo "$arch $name: $(wc -l < "$scratch/$name.entries") kernels, $(awk '$2 > 0' "$scratch/$name.entries" | wc -l)" \
      "with 16-byte loads, at most $registers registers, $spills with spills"
    if [ "$spills" -ne 0 ]; then
      failed=1
      grep -B 1 -E '[1-9][0-9]* bytes spill' "$scratch/$name.log"
    fi
  done
  for kernel in $wide; do
    if ! grep "$kernel" "$scratch/kernels" | awk '$2 > 0 { found = 1 } END { exit !found }'; then
      echo "$arch $kernel: no kernel of this name loads 16 bytes at a time"
      failed=1
    fi
  done
done
[ "$failed" -eq 0 ] && echo "ok"
exit "$failed"
