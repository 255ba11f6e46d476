#!/bin/sh
# The tables of docs/results.md: sh docs/results/table.sh gtsrb|synthetic DATA OUT
# gtsrb: DATA holds Final_Training and Final_Test. Classes 0-20 with labels make the base; the training pictures of
# classes 21-42, without labels, are what each method learns from.
# synthetic: DATA is made. 24 species of the simple world with labels make the base; 16 others of the strict world are
# learned from without labels.
# The learning rate of each method is the better of two on a validation part of the training pictures (whole tracks held
# out), seed 0. One JSON line a result in OUT/results.jsonl.
set -eu
kind=$1 data=$2 out=$3 plumage=${PLUMAGE:-build/plumage} epochs=${EPOCHS:-10}
mkdir -p "$out"
case $kind in
  gtsrb)
    size=32 augment="flip=0 hue=0.05 rotation=0.15 grayscale=0.1"  # colour tells signs apart, and mirrored ones are wrong
    source="--data $data --dataset gtsrb --classes 0-20" target="--data $data --dataset gtsrb --classes 21-42" ;;
  synthetic)
    size=64 augment=""
    source="--data $data/base --dataset synthetic" target="--data $data/target --dataset synthetic"
    [ -d "$data/base" ] || $plumage synth "$data/base" --classes 24 --per-class 125 --world simple
    [ -d "$data/target" ] || $plumage synth "$data/target" --classes 16 --per-class 100 --world strict --skip 24 ;;
esac
common="--set train.size=$size --set train.epochs=$epochs --set train.log_every=8"
for option in $augment; do common="$common --set augment.$option"; done

$plumage supervised --config configs/base.toml $common --set train.epochs=10 $source --out "$out/base"
base=$out/base/checkpoint.safetensors
$plumage pretrain-decoder --config configs/moco-pairs.toml $common --set decoder.pretrain_epochs=30 --weights "$base" $target --out "$out/decoder"

# Judges weights $3 under the names $1 (method) and $2 (seed).
judge() {
  linear=$($plumage linear --weights "$3" $target --size "$size" --solver sgd --fraction 1 0.5 0.2 --json 2>/dev/null)
  all=$($plumage retrieve --weights "$3" $target --size "$size" --json 2>/dev/null)
  tracks=null
  [ "$kind" = synthetic ] || tracks=$($plumage retrieve --weights "$3" $target --size "$size" --leave-out-group --json 2>/dev/null)
  last=$(tail -n 1 "$4/metrics.jsonl" 2>/dev/null || echo null)
  case $1 in  # the same encoder on what its decoder makes of the pictures: what survives in x_hat
    decoder|*L_R|*isotropic|*pairs) made=$($plumage linear --weights "$3" $target --size "$size" --reconstructed --solver sgd --json 2>/dev/null || echo null) ;;
    *) made=null ;;
  esac
  echo "{\"method\":\"$1\",\"seed\":$2,\"seconds\":${5:-0},\"linear\":$linear,\"retrieve\":$all,\"other_tracks\":$tracks,\"reconstructed\":$made,\"last\":$last}" >> "$out/results.jsonl"
}
validate() { $plumage linear --weights "$1" $target --size "$size" --solver lbfgs --validation 0.3 --json 2>/dev/null | sed 's/.*"top1":\([0-9.]*\).*/\1/'; }

for seed in 0 1; do judge untrained $seed untrained:resnet18:32:imagenet:$seed /nonexistent; done
judge base 0 "$base" /nonexistent
judge decoder 0 "$out/decoder/checkpoint.safetensors" "$out/decoder"  # the base again, for its decoder

# The upper bound: labels of the training pictures.
$plumage supervised --config configs/base.toml $common --set train.epochs=$((2 * epochs)) --set optim.lr=0.03 --weights "$base" $target --out "$out/supervised"
judge supervised 0 "$out/supervised/checkpoint.safetensors" "$out/supervised"

# Trains method $1 with configuration $2 and further options; picks the rate on seed 0.
train() {
  name=$1 config=$2
  shift 2
  weights=$base
  case $config in *pairs*) weights=$out/decoder/checkpoint.safetensors ;; esac  # base and decoder
  best= rate=
  for lr in 0.01 0.03; do
    run=$out/$name-0-$lr
    start=$(date +%s.%N)
    $plumage pretrain --config "configs/$config.toml" $common "$@" --set optim.lr=$lr --weights "$weights" $target --out "$run"
    seconds=$(echo "$(date +%s.%N) - $start" | bc)
    score=$(validate "$run/checkpoint.safetensors")
    echo "{\"method\":\"$name\",\"lr\":$lr,\"validation\":$score,\"seconds\":$seconds}" >> "$out/rates.jsonl"
    if [ -z "$best" ] || [ "$(echo "$score > $best" | bc)" = 1 ]; then best=$score rate=$lr took=$seconds; fi
  done
  judge "$name" 0 "$out/$name-0-$rate/checkpoint.safetensors" "$out/$name-0-$rate" "$took"
  start=$(date +%s.%N)
  $plumage pretrain --config "configs/$config.toml" $common "$@" --set seed=1 --set optim.lr=$rate --weights "$weights" $target --out "$out/$name-1"
  judge "$name" 1 "$out/$name-1/checkpoint.safetensors" "$out/$name-1" "$(echo "$(date +%s.%N) - $start" | bc)"
}

train moco moco
train moco+L_R moco-pairs --set pairs.nu=0
train moco+isotropic moco-pairs --set perturb.gradcam=isotropic --set perturb.lowvar=off
train moco+pairs moco-pairs
train simsiam simsiam
train simsiam+pairs simsiam-pairs
# MoCo v2 for as long as MoCo v2 + pairs took. The ratio means something only on a machine that does nothing else;
# EQUAL_EPOCHS gives the epochs where it was measured apart.
seconds_of() { grep "\"method\":\"$1\",\"lr\"" "$out/rates.jsonl" | tail -n 1 | sed 's/.*"seconds":\([0-9.]*\).*/\1/'; }
equal=${EQUAL_EPOCHS:-$(echo "$epochs * $(seconds_of moco+pairs) / $(seconds_of moco)" | bc)}
train moco-equal-time moco --set train.epochs="$equal"
