#!/bin/bash
# Train an encoder with biocosmos on a SLURM cluster.
#
#     biocosmos train slurm > train.sh      # this file; then fill in the lines marked EDIT
#     sbatch train.sh
#
# The job is put back into the queue before its time is up and goes on from its checkpoint, until training is done. The same
# happens after preemption or a failed node. Submitting it again by hand does the same. Explained in docs/cluster.md.

#SBATCH --job-name=biocosmos
#SBATCH --account=EDIT              # EDIT, or remove the line
#SBATCH --partition=EDIT            # EDIT, or remove the line
#SBATCH --nodes=1                   # EDIT: computers
#SBATCH --gpus-per-node=1           # EDIT: processes per computer; remove the line to train on processors
#SBATCH --cpus-per-task=16          # EDIT: cores per computer; decoding images wants about 8 for each GPU
#SBATCH --mem=64G                   # EDIT: memory per computer
#SBATCH --time=12:00:00             # EDIT: short jobs start sooner, and this one goes on by itself
#SBATCH --ntasks-per-node=1         # one torchrun on each computer, which starts one process for each GPU
#SBATCH --signal=B:USR1@300         # five minutes before the end this shell hears of it
#SBATCH --requeue                   # the job may be put back into the queue,
#SBATCH --open-mode=append          # and then goes on writing the same log
#SBATCH --output=%x-%j.log

set -u

# EDIT: how biocosmos is found on the computing nodes
source "$HOME/biocosmos/.venv/bin/activate"

# EDIT: what is trained. Both paths must be on a file system that all nodes see. Keep the settings for the whole run: a run
# that goes on with others is refused.
COLLECTION=/shared/plankton.cosmos
OUTPUT=/shared/runs/unicom-500
TRAINING=(train unicom "$COLLECTION" --output "$OUTPUT" --encoder efficientnet-lite0 --clusters 500)

MOST_RESTARTS=20    # a job that cannot go on must not come back for ever
SECONDS_TO_STOP=240 # less than the 300 of --signal: what a step and a checkpoint may take

# Computing nodes often have no internet: fetch the encoder before, on the login node (biocosmos fetch NAME).
export HF_HUB_OFFLINE=1

PROCESSES=${SLURM_GPUS_ON_NODE:-1}
CORES=${SLURM_CPUS_PER_TASK:-$PROCESSES}
export OMP_NUM_THREADS=$((CORES / PROCESSES > 0 ? CORES / PROCESSES : 1))
export SRUN_CPUS_PER_TASK=$CORES # srun no longer takes this from sbatch by itself (since SLURM 22.05)

# The first node is where the processes meet. The port comes from the job's number, so that two jobs on one node do not collide.
MEET_AT=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MEET_PORT=$((20000 + SLURM_JOB_ID % 20000))
export PROCESSES MEET_AT MEET_PORT

time_is_up=no
on_usr1() {
  time_is_up=yes
  echo "time is nearly up: asking the training to write a checkpoint"
  # without --batch the signal goes to the processes that srun started, not to this shell
  scancel --signal=USR1 "$SLURM_JOB_ID"
}
trap on_usr1 USR1
# Preemption and scancel: SLURM tells the training, too. Wait for its checkpoint; after preemption SLURM itself requeues.
trap 'echo "asked to end: waiting for the checkpoint"' TERM

# torchrun would die of USR1; told to ignore it, it lives on, and the training processes below it listen for themselves.
srun bash -c 'trap "" USR1; exec torchrun --nnodes "$SLURM_NNODES" --node-rank "$SLURM_NODEID" \
  --master-addr "$MEET_AT" --master-port "$MEET_PORT" --nproc-per-node "$PROCESSES" -m biocosmos "$@"' \
  torchrun "${TRAINING[@]}" &
training=$!

# A trapped signal interrupts `wait`, so wait again until the training has really ended, or has had its time to.
until_seconds=0
while kill -0 "$training" 2>/dev/null; do
  if [ "$time_is_up" = yes ]; then
    [ "$until_seconds" -eq 0 ] && until_seconds=$((SECONDS + SECONDS_TO_STOP))
    [ "$SECONDS" -ge "$until_seconds" ] && break # requeueing ends it; it goes on from the checkpoint before
    sleep 1
  else
    wait "$training"
  fi
done

if [ "$time_is_up" = no ]; then
  wait "$training" # its exit status, although it has ended
  exit
fi
if kill -0 "$training" 2>/dev/null || ! wait "$training"; then
  if [ "${SLURM_RESTART_COUNT:-0}" -ge "$MOST_RESTARTS" ]; then
    echo "not finished after $MOST_RESTARTS restarts: look at the log, then submit the job again to go on" >&2
    exit 1
  fi
  echo "not finished: back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
  exit
fi
echo "finished in time"
