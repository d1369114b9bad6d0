"""Long work as processes of their own: a job is a verb of the command line that a person could have typed, with checked settings.

A job's folder in the collection holds all that is known of it, so that it outlives the server, however that ends:

    plankton.cosmos/web/jobs/20261129T101500123-1f0c9a3e/
        job.json        what was asked for: kind, settings, by whom, when
        upload/         files that came with it
        claim           whoever starts it makes this file, once
        started.json    supervisor and child: process id and when each began
        log             all that the verb said; progress.json: its last count
        cancel          somebody wants it to end
        end.json        exit code, and what the verb said last
        made/           files that it made for the person
"""

from biocosmos.serve.work.kinds import KINDS, Kind
from biocosmos.serve.work.states import Job
from biocosmos.serve.work.work import Work

__all__ = ["KINDS", "Job", "Kind", "Work"]
