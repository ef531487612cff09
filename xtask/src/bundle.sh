#!/bin/sh
# Runs every check and measurement of this folder on the GPU of this machine, and prints a table. Exit code 0: all passed;
# 1: something failed; 2: there is no usable GPU (nothing is run on a processor in its place).
cd "$(dirname "$0")" || exit 1
export RECTIFY_PTX="$PWD/ptx" CANDLE_NUM_THREADS=1
mkdir -p log
if ! device=$(./bin/rectify cuda describe 2>log/device.txt); then
    cat log/device.txt
    echo "no check was run: this machine has no GPU that the driver shows."
    exit 2
fi
echo "device: $device"
date -u "+date: %Y-%m-%d %H:%M UTC"
failed=0
row() { printf '%-26s %-8s %7s s  %s\n' "$1" "$2" "$3" "$4"; }
check() { # name, command...
    name=$1
    shift
    begin=$(date +%s)
    if "$@" >"log/$name.txt" 2>&1; then result=passed; else
        result=FAILED
        failed=1
    fi
    note=$(grep -h -E '^test result|^skipped|panicked|^error' "log/$name.txt" | head -n 1)
    row "$name" "$result" "$(($(date +%s) - begin))" "$note"
}
row check result time note
for program in checks/*; do
    # Tests that find no C++ compiler skip the emulator and run on the GPU alone.
    # Of a crate's one test program, the modules that run kernels.
    case $program in *-main) modules='cuda:: device:: search:: emulator:: compile::' ;; *) modules= ;; esac
    # shellcheck disable=SC2086
    check "$(basename "$program")" "$program" $modules --test-threads 1 --nocapture
done
check trainers ./bin/rectify reproduce --experiments experiments device --device cuda --fresh --out out
# NeuMF by its recipe, and what is distilled from it.
check neumf-hdn ./bin/rectify reproduce --experiments experiments hdn --profile quick --device cuda --fresh --out out \
    --model neu-mf --model mf-student --model hdn-50 --model hdn-75
echo
./bin/rectify-bench bench all --device cuda 2>&1 | tee log/bench.txt
grep -q '^error' log/bench.txt && failed=1
python=${RECTIFY_PYTHON:-python3}
if "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    "$python" peers/cuda_training.py | tee log/peers.txt
else
    echo "peers: $python has no PyTorch that sees a GPU; name one that has in RECTIFY_PYTHON"
fi
exit $failed
