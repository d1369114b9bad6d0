"""One table of command lines that together use every verb and every option, as a person would type them.

A verb or an option that is added without a line here fails ``test_every_option.py``. Words in braces are paths of the workshop
in ``tests/cli/workshop.py``; ``after`` names the lines that make what this one needs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Line:
    """A command line without its first word; after: names of lines that go before; says: words of its output."""

    text: str
    after: tuple[str, ...] = ()
    says: str = ""


LOOP = "--epochs 1 --accumulate 2 --lr 0.001 --weight-decay 0.01 --warmup 0.2 --clip 1 --ema 0.9 --patience 3 --keep last "
RUN = "--precision float32 --checkpoint-steps 50 --seed 3 --device cpu --overwrite --allow-code "
IMAGES = "--no-freeze --size 32 --augment photo --freeze-stages 6 --batch-norm train --workers 1 --cache-gb 0.5 --batch-size 32 "

LINES: dict[str, Line] = {
    # ------------------------------------------------------------------ specimens
    "ingest a folder": Line(
        "ingest {photos} -o {out}/folder.cosmos --format folder --ranks label --metadata {metadata} --pack --id-prefix lake/"
    ),
    "ingest a table": Line(
        "ingest {table} -o {out}/table.cosmos --column label=Art --column image_path=Bild --images {photos} --encoding utf-8 "
        "--separator ; --taxonomy {tree} --strict"
    ),
    "ingest a size": Line("ingest {bioscan} -o {out}/bioscan.cosmos --size cropped_256"),
    "ingest boxes": Line("ingest {boxes} -o {out}/boxes.cosmos --boxes stored"),
    "ingest detections": Line("ingest {detections} -o {out}/animals.cosmos --confidence 0.5 --empty"),
    "ingest labels": Line(
        "ingest {trays} -o {out}/trays.cosmos --group damage=torn+mouldy --sets seen=;", says="20 specimens added"
    ),
    "split the trays": Line("split {out}/trays.cosmos --method column --column part", after=("ingest labels",)),
    "export labels": Line(
        "export {out}/trays.cosmos -o {out}/labels.csv --attributes damage,seen", after=("ingest labels",), says="20 specimens"
    ),
    "evaluate probabilities of another tool": Line(
        "evaluate {out}/trays.cosmos --names {scores} --attributes damage --importance {weights} --report {out}/trays.html",
        after=("split the trays",),
        says="F2 weighted",
    ),
    "ingest a collection": Line(
        "ingest {out}/theirs.cosmos -o {out}/more.cosmos", after=("remove",), says="vectors of 'theirs' were kept"
    ),
    "check": Line("check {collection}", says="embedding efficientnet-lite0"),
    "thumbnails": Line("thumbnails {collection} --strict", says="thumbnails: "),
    "info": Line("info {collection}", says="with a place\t300"),
    "failures": Line("failures {out}/table.cosmos -o {out}/failures.csv", after=("ingest a table",)),
    "split by taxon": Line(
        "split {collection} --method stratified --name mine --seed 3 --fractions train=0.6,val=0.2,test=0.2 --rank label "
        """--where "status = 'living'" """
    ),
    "split by group": Line("split {collection} --method grouped --name grouped --column group"),
    "split by rules": Line("split {out}/bioscan.cosmos --method bioscan --seed 0", after=("ingest a size",), says="pretrain"),
    "split by files": Line("split {collection} --method files --files {parts} --name theirs", says="seen"),
    "split of two kinds": Line("split {collection} --method random --name two --fractions train=0.5,test=0.3,test_unseen=0.2"),
    "split without taxa": Line("split {collection} --method open-world --name openworld --held-out 0.2"),
    "export": Line(
        "export {collection} -o {out}/out.zip --format darwin-core --split train --within Copepoda "
        "--where \"status = 'living'\" --strict"
    ),
    "ingest nets": Line("ingest {nets} -o {out}/nets.cosmos", says="6 specimens"),
    "export a survey": Line(
        "export {out}/nets.cosmos -o {out}/obis --format obis --sample sample_id --volume vol=m3 --share part --biovolume mm3=mm3"
        " --mesh mesh=um --aperture mouth=m2 --absences",
        after=("ingest nets",),
        says="6 specimens",
    ),
    "export a survey with a formula": Line(
        "export {out}/nets.cosmos -o {out}/ecotaxa --format ecotaxa-summary --volume vol=m3 --parts parts --biovolume sphere "
        "--pixel 10.6um",
        after=("ingest nets",),
    ),
    "summarize nets": Line(
        "summarize {out}/nets.cosmos -o {out}/nets_counted.csv --by sample,month,depth --sample sample_id --rank label "
        "--samples {net_samples} --layers 0,40,80 --volume vol=m3 --parts parts --biovolume sphere --pixel 10.6um --strict "
        "--draws 20 --seed 3 --rarefy 2 --chao1 --ordination pcoa --report {out}/nets.html "
        "--diversity {out}/nets_diversity.csv --distances {out}/nets_distances.parquet",
        after=("ingest nets",),
        says="st9",
    ),
    "summarize below a square metre": Line(
        "summarize {out}/nets.cosmos --by month,depth --volume vol=m3 --share part --per-m2",
        after=("ingest nets",),
        says="per m²",
    ),
    "summarize names": Line(
        "summarize {collection} --sample group --names latest --split test --draws 0 --where \"status = 'living'\"",
        after=("identify",),
    ),
    "identify to be judged": Line(
        "identify {collection} --part train --known test --method nearest -o {out}/judged.parquet --overwrite"
    ),
    "summarize what is behind names": Line(
        "summarize {collection} --sample group --names latest --confusion {out}/judged.parquet --draws 5 -o {out}/behind.csv",
        after=("identify", "identify to be judged"),
    ),
    "summarize a taxon": Line("summarize {collection} --sample group --within Copepoda"),
    "export boxes": Line("export {collection} -o {out}/boxes.json --format coco", says="specimens"),
    "export for spreadsheets": Line("export {collection} -o {out}/sheet.csv --spreadsheet --overwrite", says="specimens"),
    "export what is said now": Line(
        "export {collection} -o {out}/now.zip --format darwin-core --current --ids {ids} --without-images", says="specimens"
    ),
    "export names": Line("export {out}/names.csv -o {out}/back.zip --format ecotaxa", after=("identify",), says="specimens"),
    "export kept names": Line(
        "export {collection} -o {out}/kept.zip --format darwin-core --identifications latest", after=("identify",)
    ),
    "identify by shares": Line(
        "identify {collection} --part test --encoder efficientnet-lite0 --shares emq -o {out}/shared.csv", says="shares"
    ),
    "evaluate shares": Line(
        "evaluate {collection} --encoder efficientnet-lite0 --protocol quantification --communities 3 --specimens 60 --by group "
        "--report {out}/communities.html",
        says="Bray-Curtis",
    ),
    "summarize shares": Line(
        "summarize {collection} --names {out}/shared.csv --quantify emq --unknown --sample group --rank class --draws 20 "
        "--shares {out}/shares.csv",
        after=("identify by shares",),
        says="gate",
    ),
    "identifications": Line("identifications {collection}", after=("identify",), says="efficientnet-lite0"),
    "export vectors": Line("export {collection} -o {out}/vectors.npz --vectors efficientnet-lite0"),
    "taxa": Line("taxa list {collection} --rank class --within Arthropoda -o {out}/taxa.csv"),
    "taxa check": Line(
        "taxa check {collection} --checklist {checklist} --column parent_id=above --strict -o {out}/checked.csv", says="matched"
    ),
    "embed exported vectors": Line(
        "embed {collection} --from {out}/vectors.npz --overwrite", after=("export vectors",), says="efficientnet-lite0"
    ),
    "update": Line(
        "update {collection} {corrections} --column label=Art --column id=Nummer --by Ada --note seen --encoding utf-8 "
        "--separator ; --images {photos} --clear --strict -o {out}/changed.csv",
        says="2 specimens, 6 cells",
    ),
    "update only to look": Line("update {collection} --taxonomy {tree} --ranks family,label --dry-run", says="would change: "),
    "relabel": Line(
        "relabel {collection} class:Copepoda Calanoids --split train --within Arthropoda --where \"status = 'living'\" --by Ada "
        "--note why --dry-run -o {out}/renamed.csv --strict",
        says="would change: ",
    ),
    "relabel from a table": Line(
        "relabel {collection} --from {renames} --column old=Alt --column new=Neu --ids {ids} --id {id} --dry-run",
        says="would change: ",
    ),
    "merge": Line(
        "merge {collection} {out}/theirs.cosmos -o {out}/all.cosmos --id-prefix theirs=theirs- --by Ada --note both --strict",
        says="vectors of 'efficientnet-lite0' were kept",
    ),
    "history": Line("history {collection} -o {out}/history.csv", after=("update", "undo"), says="3 changes"),
    "undo": Line("undo {collection} 2 --by Grace", after=("update",), says="by Ada undone (2 specimens, 6 cells)"),
    "remove": Line(
        "remove {out}/theirs.cosmos --id {id} --ids {one} --where \"label = 'a'\" --yes --by Ada --note doubled --strict",
        after=("search approximately",),
        says="1 specimen removed, 299 left",
    ),
    "remove only to look": Line("remove {collection} --split train --within Copepoda --dry-run", says="would be removed"),
    "taxa update": Line(
        "taxa update {collection} --checklist {checklist} --column parent_id=above --by Ada --note release -o {out}/review.csv",
        says="review",
    ),
    "taxa update reviewed": Line(
        "taxa update {out}/folder.cosmos --checklist {checklist} --column parent_id=above --review {blank_review} --apply "
        "--strict",
        after=("ingest a folder",),
        says="0 specimens, 0 cells changed",
    ),
    # ------------------------------------------------------------------ vectors
    "embed": Line(
        "embed {collection} --encoder {clip} --device cpu --precision float32 --backend torch --batch-size 16 --workers 1 "
        "--resize pad --overwrite --strict --allow-code"
    ),
    "embed with fewer tokens": Line(
        "embed {collection} --encoder {clip} --reduce atc --keep 0.5 --linkage single --reduce-at 0 --device cpu",
        after=("embed",),
        says="+atc.single-0.5",
    ),
    "tokens dial": Line(
        "tokens dial {collection} --encoder {clip} --lose-at-most 0.2 --methods topk --keep 0.5 --precision float32 --device cpu "
        "--measure recall --rank label --queries val --gallery train --specimens 200 --seed 1 --backend torch --overwrite "
        "-o {out}/fast --report {out}/dial.html --allow-code",
        says="taken: ",
    ),
    "embed vectors": Line(
        "embed {collection} --encoder theirs --from {vectors} --ids {ids} --default", after=("embed",), says="vectors of 'theirs'"
    ),
    "encoders": Line("encoders"),
    "encoders of a collection": Line("encoders {collection} --default efficientnet-lite0", after=("embed vectors",)),
    "fetch": Line("fetch open_clip:hf-hub:imageomics/bioclip-2", says="on this machine"),
    "search": Line(
        "search {collection} {photo} -k 3 --encoder efficientnet-lite0 --split train --within Animalia "
        "--where \"status = 'living'\" --device cpu --precision float32 --backend torch -o {out}/near.csv --strict --allow-code"
    ),
    "search by text": Line("search {collection} --text copepod --encoder {clip}", after=("embed",)),
    "embed barcodes": Line("embed {barcodes} --encoder kmer:5 --batch-size 8 --precision float32 --device cpu"),
    "search by DNA": Line("search {barcodes} --dna {dna} -k 2 -e kmer:5", after=("embed barcodes",), says="alignment_length"),
    "search by a file of DNA": Line(
        "search {barcodes} --fasta {fasta} -e kmer:5 -k 3 --fold --no-align -o {out}/sequences.csv", after=("embed barcodes",)
    ),
    "embed a space": Line("embed {both} -e {space}", says="embedded"),
    "search across": Line(
        "search {both} --id {paired} --ask-with dna --among image -e {space} -k 2", after=("embed a space",), says="asked_with"
    ),
    "search across by DNA": Line("search {both} --dna {dna} --among all -e {space}/dna", after=("embed a space",), says="image"),
    "ingest nature": Line("ingest {nature} -o {out}/nature.cosmos", says="3 specimens"),
    "ingest sounds": Line("ingest {heard} -o {out}/heard.cosmos --beside {sounds}", says="1 specimens"),
    "embed places": Line("embed {out}/nature.cosmos -e place:15km-15d", after=("ingest nature",), says="places"),
    "search from a place": Line(
        "search {out}/nature.cosmos --place 52.05,5.05@2026-06-04 -e place:15km-15d -k 2", after=("embed places",), says="n0"
    ),
    "embed sounds": Line("embed {out}/nature.cosmos -e audio:{clap}", after=("ingest nature",), says="sounds"),
    "search near": Line(
        "search {out}/nature.cosmos --at 52.05,5.05 --on 06-04 --depth 10 --country NL -k 2", after=("ingest nature",), says="n0"
    ),
    "search by a sound": Line(
        "search {out}/nature.cosmos --sound {song} -e audio:{clap} -k 1", after=("embed sounds",), says="song.wav"
    ),
    "embed satellite images": Line(
        "embed {out}/nature.cosmos -e satellite:efficientnet-lite0", after=("ingest nature",), says="satellite images"
    ),
    "search by a satellite image": Line(
        "search {out}/nature.cosmos --satellite {photo} -e satellite:efficientnet-lite0 -k 1",
        after=("embed satellite images",),
        says="n0",
    ),
    "search approximately": Line("search {out}/theirs.cosmos --id {id} --approximate"),
    # ------------------------------------------------------------------ names
    "refit": Line(
        "refit {half} --name mine --encoder efficientnet-lite0 --error-rate 0.3 --balanced --seed 3 --by Ada --allow-code",
        after=("identify the unlabelled",),
        says="kept as",
    ),
    "refit from a table": Line(
        "refit {half} --labels {out}/each.csv --encoder efficientnet-lite0 --name told",
        after=("queue of each taxon",),
        says="kept as",
    ),
    "refit and use it": Line("refit {half} --promote mine --by Ada", after=("refit",), says="names from now on, said Ada"),
    "identify": Line(
        "identify {collection} {photos} -o {out}/names.csv --method nearest --threshold 0.6 --encoder efficientnet-lite0 "
        "--known train --within Animalia --where \"status = 'living'\" --taxa {out}/taxa.csv --save --seed 1 --device cpu "
        "--precision float32 --backend torch --false-alarm-rate 0.1 --fresh --report {out}/names.html --allow-code",
        after=("taxa",),
    ),
    "identify anew": Line(
        "identify {collection} {photos} -o {out}/more.csv --method nearest --top 2 --batch-size 4 --workers 1 --overwrite"
    ),
    "identify and add": Line(
        "identify {collection} {photos} -o {out}/more.csv --method nearest --top 2 --append",
        after=("identify anew",),
        says="added",
    ),
    "identify as they come": Line(
        "identify {collection} {photos} -o {out}/watched.csv --method nearest --watch --every 0.05 --idle 0.2", says="in all"
    ),
    "identify the unlabelled": Line(
        "identify {half} --part unlabelled -o {out}/unnamed.csv --method nearest --save", says="3 of 3 specimens named"
    ),
    "identify with balanced weights": Line(
        "identify {collection} --part test --method linear --class-weight balanced --error-rate 0.3 "
        "--promise answered --delta 0.2 --sets phylum --calibration val"
    ),
    "identify by words": Line(
        "identify {collection} {photo} --method zero-shot --templates {templates} -e {clip}", after=("embed",)
    ),
    "identify attributes": Line(
        "identify {collection} --part test --head {out}/second --gate {out}/first --scores {out}/scores.csv -o {out}/stages.csv",
        after=("train a first stage", "train a second stage"),
        says="damage: ",
    ),
    "identify with attributes": Line(
        "identify {collection} --part test --head {out}/beside -o {out}/beside.csv", after=("train heads beside ranks",)
    ),
    "identify with views": Line("identify {collection} {photo} --head {out}/images --views 2", after=("train heads on images",)),
    "identify with a head": Line(
        "identify {collection} --part test -o {out}/ids.csv --head {out}/head --error-rate 0.3 --promise mean "
        "--sets label --calibration val --novelty msp --report {out}/why.html --device cpu --strict",
        after=("train heads",),
    ),
    "evaluate seen and unseen": Line(
        "evaluate {collection} --protocol open-world --queries two:test --unseen two:test_unseen --gallery two:train "
        "--report {out}/open.html",
        after=("split of two kinds",),
        says="of unseen species",
    ),
    "evaluate": Line(
        "evaluate {collection} -e efficientnet-lite0 -o {out}/report --report {out}/page.html --protocol query-gallery "
        "--tables csv --queries test --gallery train --by group --identify --method simpleshot --calibration val "
        "--error-rate 0.2 --promise answered --delta 0.2 --novelty knn --where \"status = 'living'\" --seed 3 --device cpu "
        "--allow-code",
        says="of what",
    ),
    "evaluate methods": Line(
        "evaluate {collection} --method nearest,centroid --protocol ranks --threshold 0.8 -o {out}/methods", says="nearest"
    ),
    "evaluate everything": Line("evaluate {collection} --queries all --no-identify -o {out}/everything"),
    "evaluate weights": Line(
        "evaluate {collection} -e efficientnet-lite0 -e {out}/encoder --interpolate 0:1:0.5 --patch blocks.*,!blocks.0* "
        "-o {out}/between",
        after=("train unicom on images",),
    ),
    "evaluate words": Line(
        "evaluate {collection} -e {clip} --protocol zero-shot --templates {templates} -o {out}/words", after=("embed",)
    ),
    "evaluate clusters": Line(
        "evaluate {collection} -e efficientnet-lite0 --protocol clustering --reducer none,pca:8 --clusterer kmeans,ward "
        "--clusters 9 --by group -o {out}/clusterings",
        says="chosen by silhouette",
    ),
    "evaluate barcodes": Line(
        "evaluate {barcodes} -e kmer:6 -e kmer:5 --protocol barcode --queries test --unseen val --distance k2p --tree-genus "
        "{genus} --bins dna_bin --probes nearest,linear --provisional --no-identify --report {out}/barcode.html",
        says="species with a barcode gap",
    ),
    "evaluate two stages": Line(
        "evaluate {collection} --head {out}/second --gate {out}/first -o {out}/judged",
        after=("train a first stage", "train a second stage"),
    ),
    "evaluate attributes beside ranks": Line(
        "evaluate {collection} --head {out}/beside --attributes damage --importance {weights} --beta 1 --absent zero "
        "-o {out}/judged_beside",
        after=("train heads beside ranks",),
    ),
    "evaluate a head": Line("evaluate {collection} --head {out}/head --views 1 -o {out}/heads", after=("train heads",)),
    "evaluate without a taxon": Line(
        "evaluate {collection} --head {out}/head --protocol leave-one-class-out --folds 2 --most 2 --far {foreign} "
        "-o {out}/unknown",
        after=("train heads",),
    ),
    # ------------------------------------------------------------------ discovery
    "queue": Line(
        "discover queue {collection} -e efficientnet-lite0 --strategy novelty --detector vim -n 5 --relabel --split train "
        "--within Animalia --where \"status = 'living'\" --seed 1 --diverse k-centre --allow-code -o {out}/next.csv "
        "--report {out}/next.html",
        says="5 specimens to label next",
    ),
    "tokens study": Line(
        "tokens study {collection} -e {clip} --methods topk --keep 0.5,0.9 --split test --gallery train "
        "--where \"label != 'x'\" --limit 30 --gallery-limit 60 --traced 20 --pictures 1 --against {half} "
        "--batch-size 8 --rounds 1 --seed 1 --device cpu --allow-code "
        "-o {out}/tokens.csv --report {out}/tokens.html",
        says="+topk-0.9",
    ),
    "queue of each taxon": Line(
        "discover queue {half} -e efficientnet-lite0 --strategy each --each 2 -o {out}/each.csv", says="specimens"
    ),
    "queue of doubtful labels": Line("discover queue {collection} --strategy disagreement -n 3", says="3 specimens"),
    # ------------------------------------------------------------------ training
    "train unicom": Line(
        "train unicom {collection} -o {out}/projection --encoder efficientnet-lite0 --freeze --clusters 12 --source joint "
        "--text-encoder {clip} --whiten --loss mlcd --positives 2 --scale 16 --m1 1 --m2 0.2 --m3 0.1 "
        "--gradient straight-through --interclass-filter 0.5 --filter-mode mask --sample-rate 0.9 --features 8 --sub-centres 2 "
        "--centres random --dim 16 --start plain --noise 0.1 --split train --validation val --monitor clusters "
        f"--centre-lr-factor 5 {LOOP}{RUN}",
        after=("embed",),
    ),
    "train unicom on images": Line(
        f"train unicom {{collection}} -o {{out}}/encoder --config {{config}} --views 2 --test-size 64 --dim 0 "
        f"{IMAGES.replace('--size 32', '--size 48')}--device cpu"
    ),
    "train unicom on taxa": Line(
        "train unicom {collection} -o {out}/taxa --freeze --epochs 1 --dim 8 --taxa phylum --device cpu"
    ),
    "train unicom on labels": Line(
        "train unicom {collection} -o {out}/again --freeze --epochs 1 --dim 8 --labels {out}/projection/labels.parquet "
        "--device cpu",
        after=("train unicom",),
    ),
    "train unicom sweep": Line("train unicom {collection} -o {out}/sweep --sweep 7 --epochs 1 --dim 8 --device cpu"),
    "train slurm": Line("train slurm -o {out}/train.sh"),
    "train recipes": Line("train recipes", says="plankton-cpu"),
    "train heads": Line(
        "train heads {collection} -o {out}/head --encoder efficientnet-lite0 --head marginalised --ranks group,label --freeze "
        "--hidden 32 --dropout 0.1 --rank-weights 1,2 --smoothing 0.1 --imbalance logit-adjusted --tau 0.5 --sampler 0.5 "
        "--mix mixup --mix-alpha 0.3 --mix-partner alike --outlier-taxa detritus --outlier-weight 0.1 "
        "--leave-out hydromedusae_shapeA "
        "--size-feature --head-lr-factor 2 --split train --validation val --batch-size 32 "
        f"{LOOP.replace('--epochs 1', '--epochs 3')}--decouple 1 {RUN}"
    ),
    "train heads of attributes": Line(
        "train heads {collection} -o {out}/graph --attributes group,damage=torn+eggs --ranks label --head ctgnn --freeze "
        '--where "label IS NOT NULL" --task-weighting fixed --task-weights 3,1,1 --class-weights effective '
        "--set-weights importance --importance {weights} --thresholds tuned --threshold-beta 1 --graph gat --graph-layers 1 "
        "--graph-heads 4 --node-width 16 --adjacency reweighted --adjacency-tau 0.3 --adjacency-share 0.2 --bottleneck shared "
        "--bottleneck-width 8 --shared-scores --refined-share 0.7 --task-hidden 16,8 --epochs 1 --device cpu",
        says="mean AP of damage",
    ),
    "train a second stage": Line(
        "train heads {collection} -o {out}/second -e efficientnet-lite0 --attributes damage=torn+eggs --head ctgnn --graph gcn "
        "--normalise symmetric --residual post --no-graph-skip --graph-dropout 0.1 --resize squash --mean 0.5,0.4,0.3 "
        f"--std 0.2,0.2,0.2 --epochs 1 {IMAGES}--device cpu"
    ),
    "train a first stage": Line(
        "train heads {collection} -o {out}/first -e efficientnet-lite0 --attributes any=torn --head plain --resize squash "
        f"--epochs 1 {IMAGES}--device cpu"
    ),
    "train heads beside ranks": Line(
        "train heads {collection} -o {out}/beside --attributes damage=torn+eggs --attribute-weight 0.3 --ranks label --head flat "
        "--freeze --epochs 1 --device cpu",
        says="accuracy of label",
    ),
    "train heads of many kinds": Line(
        "train heads {collection} -o {out}/many --head conditional,multitask --freeze --hxe-alpha 0.1 --epochs 1 "
        "--ranks group,label --device cpu"
    ),
    "train heads that agree": Line(
        "train heads {collection} -o {out}/agree --head multitask --dependency 0.2 --config {heads} --device cpu"
    ),
    "train heads on images": Line(
        "train heads {collection} -o {out}/images --recipe plankton-cpu --ranks group,label --epochs 1 --outliers halves "
        f"--outlier-images {{foreign}} --outlier-share 0.2 --cache-views 1 --cache-folder {{out}}/stages {IMAGES}--device cpu"
    ),
    "train heads with a teacher": Line(
        "train heads {collection} -o {out}/student --head flat --ranks group,label --epochs 1 --teacher {out}/teacher "
        "--teacher-weight 0.4 --teacher-temperature 3 --match efficientnet-lite0 --match-weight 0.5 --match-loss smooth-l1 "
        f"{IMAGES}--device cpu",
        after=("embed", "train a teacher"),
    ),
    "train heads on a new transformer": Line(
        "train heads {collection} -o {out}/vit -e new:vit_tiny_patch8_32 --head flat --ranks group,label --epochs 1 "
        "--patch-dropout 0.5 --batch-size 32 --workers 1 --device cpu"
    ),
    "train heads with fewer tokens": Line(
        "train heads {collection} -o {out}/fewer -e new:vit_tiny_patch8_32 --head flat --ranks group,label --epochs 1 "
        "--reduce atc --keep-tokens 0.6,0.3 --linkage single --reduce-at 4,8 --freeze-stages 5 --cache-views 1 --batch-size 32 "
        "--workers 1 --device cpu"
    ),
    "train heads with the head": Line(
        "train heads {collection} -o {out}/longer -e {out}/vit --with-head --head flat --ranks group,label --epochs 1 "
        "--freeze-stages 11 --batch-size 32 --workers 1 --device cpu",
        after=("train heads on a new transformer",),
    ),
    "train a teacher": Line(
        "train heads {collection} -o {out}/teacher --head flat --ranks group,label --freeze --epochs 1 --device cpu",
        after=("embed",),
    ),
    "train zero-shot": Line(
        "train zero-shot {collection} -o {out}/unseen --encoder efficientnet-lite0 --freeze --ranks group,label --hold-out 2 "
        "--choose-on 1 --draw 1 --geometry tree+names+text+attributes --attributes {attributes} --text-encoder {clip} "
        "--place learnt --contrastive 0.4 --temperature 0.2 --gromov 5 --coupling fused --plan-steps 10 --sampler 0.4 --scale 8 "
        f"--dim 16 --hidden 32 --dropout 0.1 --noise 0.1 --split train --validation val --batch-size 32 {LOOP}{RUN}",
        after=("embed",),
    ),
    "train zero-shot on images": Line(
        "train zero-shot {collection} -o {out}/unseen-images --ranks group,label --hold-out 2 --choose-on 1 --config {zero_shot} "
        f"--head-lr-factor 3 --device cpu {IMAGES}"
    ),
    "train zero-shot ablation": Line(
        "train zero-shot {collection} -o {out}/ablation --freeze --ranks group,label --hold-out 2 --choose-on 1 --epochs 1 "
        "--dim 8 --hidden 16 --ablate --draws 1 --foreign {foreign} --chimeras 5 --device cpu"
    ),
    # ------------------------------------------------------------------ packs
    "pack build": Line(
        "pack build {collection} -o {out}/mine.pack -e efficientnet-lite0 --licence cc-by-4.0 --name Mine --vectors int8 "
        "--tests 5 --method linear --novelty energy --seed 1 --known train --least 2 --columns text --thumbnails 32 --overwrite "
        "--strict --allow-code",
        says="recall@1",
    ),
    "pack build with weights": Line(
        "pack build {collection} -o {out}/heavy.zip -e {clip} --licence mit --weights --vectors none", after=("embed",)
    ),
    "identify by a pack with weights": Line(
        "identify {out}/heavy.zip {photos} -o {out}/by_weights.csv", after=("pack build with weights",), says="named by the pack"
    ),
    "pack verify": Line("pack verify {out}/mine.pack", after=("pack build",), says="5 of 5 answered as expected"),
    "pack merge": Line(
        "pack merge {out}/mine.pack {out}/theirs.pack -o {out}/both.zip --licence cc-by-4.0 --name Both --vectors float16 "
        "--tests 6 --method simpleshot --novelty energy --seed 1 --overwrite --strict",
        after=("pack build", "pack build theirs"),
        says="238 specimens",
    ),
    "pack build theirs": Line(
        "pack build {collection} -o {out}/theirs.pack -e efficientnet-lite0 --licence cc0-1.0 --known val --method simpleshot"
    ),
    "pack diff": Line("pack diff {out}/mine.pack {out}/both.zip -o {out}/changes.csv", after=("pack merge",), says="both name "),
    "search by a pack": Line("search {out}/both.zip {photos} -k 2", after=("pack merge",), says="copepod"),
    "identify by a pack": Line(
        "identify {out}/mine.pack {photos} -o {out}/by_pack.csv --threshold 0.5", after=("pack build",), says="specimens named"
    ),
    # ------------------------------------------------------------------ the browser
    "users": Line("users {out}/users.toml ada --role annotator --password-stdin", says="ada, annotator"),
    "serve": Line(
        "serve {collection} --host localhost --port 0 --no-open --users {out}/users.toml --name cosmos.example.org",
        after=("users",),
        says="at http://127.0.0.1:",
    ),
    "users listed": Line("users {out}/users.toml", after=("users",), says="annotator"),
    "users removed": Line("users {out}/users.toml ada --remove", after=("users listed",), says="ada removed"),
    # ------------------------------------------------------------------ the whole
    "doctor": Line("doctor", says="processor"),
    "doctor for machines": Line("doctor --json", says='"processor"'),
    "demo": Line("demo -o {out}/demo --seed 1 --device cpu --precision float32 --backend torch"),
    # ------------------------------------------------------------------ barcodes
    "simulate": Line(
        "simulate barcodes {out}/simulated.fasta --metadata {out}/simulated.tsv --seed 1 --species 12 --genera 6 --families 3 "
        "--orders 2 --specimens 40 --short 0.2 --unsure 0.1 --shared 0.5 --unknown {out}/simulated_unknown.fa",
        says=" to be named",
    ),
    "simulate a table": Line("simulate barcodes {out}/simulated.csv --species 3", says="24 barcodes of 3 species, 1 genus"),
    "simulate pictures": Line(
        "simulate pictures {out}/simulated.csv -o {out}/drawn.csv --images {out}/drawn --facts {out}/drawn_species.csv --seed 1 "
        "--size 32 --specimens 12 --missing-dna 0.2 --missing-image 0.2 --overwrite",
        after=("simulate a table",),
        says="12 specimens",
    ),
    "simulate scenes": Line(
        "simulate scenes -o {out}/scenes --seed 1 --sequences 1 --interval 15,30 --minutes 3 --density 2,6 --body 0.1,0.2 "
        "--speed 0.3 --restless 0.2 --species 3 --width 96 --height 64 --miss 0.1 --alarms 0.2 --jitter 0.02 --spots 1 "
        "--overwrite",
        says="2 sequences, 20 frames",
    ),
    "sequences difficulty": Line(
        "sequences difficulty {out}/scenes -o {out}/difficulty.csv --report {out}/difficulty.html --mode corrected --occlusion "
        "boxes --classes 1 --interval 60 --ratios 0.1:1:0.1 --betas 0.1:1:0.1 --site scene-(.) --encoder efficientnet-lite0 "
        "--picture blurred --blur-size 21 --blur-sigma 4 --images {out}/scenes/SCENES-train --work {out}/looks --device cpu "
        "--precision float32 --backend torch --strict --allow-code",
        after=("simulate scenes",),
        says="motcom",
    ),
    "sequences difficulty as released": Line(
        "sequences difficulty {out}/scenes --mode release --mot15 --no-appearance", after=("simulate scenes",), says="motcom"
    ),
    "sequences difficulty of given vectors": Line(
        "sequences difficulty {out}/scenes --vectors {looks} -o {out}/given.csv",
        after=("simulate scenes",),
        says="has no vectors",
    ),
    "simulate scenes without pictures": Line("simulate scenes -o {out}/nights --no-pictures --one-class --minutes 5"),
    "track files": Line(
        "track {out}/scenes --tracker odds --memory 600 --start 0.5 --keep 0.1 --stay 600 --most 100 --format mot "
        "-o {out}/tracks.csv --boxes {out}/track_boxes.csv --report {out}/timeline.html --strict",
        after=("simulate scenes",),
        says="in 2 sequences of 20 frames",
    ),
    "track a folder of pictures": Line(
        "track {out}/scenes/SCENES-train/scene-1-001-15s/img1 "
        "--detections {out}/scenes/SCENES-train/scene-1-001-15s/det/det.txt --tracker mcc24",
        after=("simulate scenes",),
        says="in 1 sequence",
    ),
    "ingest nights": Line("ingest {out}/scenes -o {out}/night.cosmos --format mot-detections", after=("simulate scenes",)),
    "track a collection": Line(
        "track {out}/night.cosmos --no-appearance --save", after=("ingest nights",), says="have their track"
    ),
    "track and name": Line(
        'track {out}/night.cosmos --head {out}/agree --where "frame > 1" --device cpu --allow-code '
        "--save --overwrite -o {out}/individuals.csv",
        after=("track a collection", "train heads that agree"),
        says="nothing is promised of individuals",
    ),
    "ingest labelled nights": Line("ingest {out}/scenes -o {out}/labelled.cosmos --format mot", after=("simulate scenes",)),
    "split labelled nights": Line(
        "split {out}/labelled.cosmos --method grouped --column sequence --fractions train=0.5,val=0.5",
        after=("ingest labelled nights",),
    ),
    "embed labelled nights": Line("embed {out}/labelled.cosmos --encoder {clip} --device cpu", after=("split labelled nights",)),
    "track and name with a promise": Line(
        "track {out}/labelled.cosmos --encoder {clip} --method nearest --known train --calibration val --error-rate 0.9 "
        "--promise answered --delta 0.2 --seed 1",
        after=("embed labelled nights",),
        says="of individuals: with probability 0.8",
    ),
    "sequences evaluate": Line(
        "sequences evaluate {out}/nights {out}/nights --format mot -o {out}/tracks_report "
        "--report {out}/tracks.html --tables csv",
        after=("simulate scenes without pictures",),
        says="IDF1",
    ),
    "ingest sequences": Line(
        "ingest {out}/simulated.fasta -o {out}/sequences.cosmos --metadata {out}/simulated.tsv --pattern (?P<id>\\\\S+) "
        "--primers folmer,GGWACWGGWTGAACWGTWTAYCCYCC --primer-errors 0.1 --orientation source --min-length 200 --max-length 900 "
        "--most-n 0.2 --stop-codons refuse --genetic-code 5 --keep-personal --provisional",
        after=("simulate",),
        says="28 specimens",
    ),
    "ingest one marker": Line("ingest {bold} -o {out}/bold.cosmos --marker COI-5P", says="1 specimens added"),
    "ingest barcodes": Line("ingest {out}/simulated.csv -o {out}/coi.cosmos", after=("simulate a table",), says="24 specimens"),
    "identify from hits": Line(
        "identify {out}/coi.cosmos --from {hits} -o {out}/hits.csv", after=("ingest barcodes",), says="best hit"
    ),
    "identify barcodes": Line(
        "identify {barcodes} {fasta} -e kmer:5 --method nearest --threshold 0.5 -o {out}/barcodes.csv",
        after=("embed barcodes",),
        says="specimens named",
    ),
    "evaluate tables of names": Line(
        "evaluate {collection} --names {told} --queries test --gallery train -o {out}/told", says="given a wrong"
    ),
    "identify by both": Line(
        "identify {both} --part test_unseen --method fused -e efficientnet-lite0 --threshold 0.7 --novelty own-mass "
        "-o {out}/by_both.csv",
        says="by image and barcode",
    ),
    "identify files of both": Line(
        "identify {both} {photos} {fasta} --method fused -e efficientnet-lite0 --threshold 0.7 -o {out}/files_of_both.csv",
        says="by the barcode alone",
    ),
    "split barcodes": Line("split {out}/coi.cosmos --seed 0", after=("ingest barcodes",), says="train"),
    "train barcode": Line(
        f"train barcode {{out}}/coi.cosmos -o {{out}}/dna {LOOP}{RUN}--objective contrastive --network transformer --k 4 "
        "--stride 2 --vocabulary with-n --window 8 --bag --pooling mean --width 16 --layers 1 --heads 2 --dropout 0.2 "
        "--temperature 0.2 --ranks species=1,family=0.5 --teacher-weight 0.5 --teacher-k 6 --frame --crop 0.5 --mutate 0.1 "
        "--split train --validation val --batch-size 16",
        after=("split barcodes",),
        says="weights of the encoder",
    ),
    "train barcode masked": Line(
        "train barcode {out}/coi.cosmos -o {out}/masked --objective masked --mask-ratio 0.4 --loss-over masked --k 3 --width 16 "
        "--layers 1 --heads 2 --epochs 1 --device cpu",
        after=("split barcodes",),
        says="hidden tokens right",
    ),
    "train barcode as an autoencoder": Line(
        "train barcode {out}/coi.cosmos -o {out}/mae --config {out}/masked/settings.toml --objective mae --decoder-layers 1",
        after=("train barcode masked",),
    ),
    "collect pictures and barcodes": Line(
        "simulate pictures {out}/simulated.csv -o {out}/both.cosmos --size 32 --seed 0 --overwrite",
        after=("simulate a table",),
        says="24 barcodes",
    ),
    "train contrastive": Line(
        f"train contrastive {{out}}/both.cosmos -o {{out}}/space {LOOP}{RUN}--image efficientnet-lite0 --dna kmer:5 --text tiny "
        "--tune heads --width 8 --hidden 0 --targets species --within 0.5 --bind-to dna --as-published --temperature 0.1 "
        "--text-ranks genus,species --text-type published --split train --validation val --batch-size 8",
        after=("collect pictures and barcodes",),
        says="with image and dna",
    ),
    "train contrastive from a file": Line(
        "train contrastive {out}/both.cosmos -o {out}/space_again --config {out}/space/settings.toml --text-type sci",
        after=("train contrastive",),
        says="with image and dna",
    ),
    "train bind": Line(
        f"train bind {{both}} -o {{out}}/bound {LOOP}{RUN}--modalities dna,place,environment,text --anchor dna --dna kmer:5 "
        "--place new:sphere --environment environment:{rasters} --text tiny --text-ranks genus,species --text-type sci "
        "--tune dna=heads --width 8 --hidden 0 --targets species --loss taxabind --queue 8 --anywhere --as-published "
        "--temperature 0.1 --split train --validation val --batch-size 8",
        says="the anchor",
    ),
    "split nature": Line("split {out}/nature.cosmos --method random --fractions train=1", after=("ingest nature",), says="train"),
    "train bind sounds and satellite images": Line(
        "train bind {out}/nature.cosmos -o {out}/heard --modalities image,satellite,audio --image efficientnet-lite0 "
        "--satellite satellite:efficientnet-lite0 --audio audio:{clap} --targets specimen --epochs 1 --device cpu",
        after=("split nature",),
        says="the anchor",
    ),
    "evaluate a bound space": Line(
        "evaluate {both} -e {out}/bound --protocol cross-modal --gallery train --queries test --report {out}/bound.html",
        after=("train bind",),
    ),
    "train place": Line(
        'train place {both} -o {out}/prior --rank genus --split train --where "latitude is not null"',
        says="where people collected",
    ),
    "identify with a place": Line(
        "identify {both} {photo} --method nearest -e efficientnet-lite0 --threshold 0.6 --at 52.05,5.05 --on 2026-06-04 "
        "--depth 10 --prior {out}/prior --prior-way inaturalist",
        after=("train place",),
        says="place was counted in for 1 of 1 specimens",
    ),
    "identify with a table of places": Line(
        "identify {both} {photos} --method nearest -e efficientnet-lite0 --threshold 0.6 --places {places_of_photos} "
        "--prior {out}/prior --prior-way inaturalist",
        after=("train place",),
        says="place was counted in for 1 of",
    ),
    "identify within fences": Line(
        "identify {both} {photo} --method nearest -e efficientnet-lite0 --threshold 0.6 --country NL --fence {fence} "
        "--checklist {allowed} --fence-way roll-up",
        says="fences and checklists touched",
    ),
    "train place here": Line(
        "train place {collection} -o {out}/prior_here --split train --kilometres 5 --days 5 --metres 5 --specimens 5",
        says="where people collected",
    ),
    "evaluate with a prior": Line(
        "evaluate {both} -e efficientnet-lite0 --method nearest --protocol ranks --threshold 0.6 --prior {out}/prior "
        "--prior-way inaturalist -o {out}/with_prior",
        after=("train place",),
        says="place, cells held out",
    ),
    "train place again": Line(
        "train place {both} -o {out}/prior --kilometres 500 --days 30 --metres 50 --specimens 5 --within Insecta --overwrite",
        after=("train place",),
        says="overall shares alone",
    ),
    "train place by a network": Line(
        "train place {both} -o {out}/sinr --method sinr --loss an-full --positive-weight 100 --rank genus --epochs 2 --width 8 "
        "--blocks 1 --dropout 0.1 --hide 0.2 --batch-size 8 --lr 0.001 --weight-decay 0.01 --held-out 0.3 --patience 1 --seed 1 "
        "--inputs published --rasters {rasters} --device cpu",
        says="where people collected",
    ),
    "embed by its shares": Line("embed {both} -e place:{out}/prior", after=("train place", "train place again")),
    "embed by its vectors": Line("embed {both} -e place:{out}/sinr", after=("train place by a network",)),
    "evaluate priors of places": Line(
        "evaluate {both} --protocol place --place-method kernel,mlp --place-rank genus --place-least 2 --place-seeds 1 "
        "--device cpu --report {out}/priors.html",
        says="cells held out",
    ),
    "train bind in full": Line(
        "train bind {both} -o {out}/bound_full --modalities image,dna,place --image efficientnet-lite0 --dna new:bag "
        "--tune image=lora --lora-rank 2 --chunk 4 --augment photo --size 64 --workers 1 --cache-gb 0.5 --crop 0.2 --mutate 0.02 "
        "--width 8 --epochs 1 --batch-size 4 --device cpu",
        says="the anchor",
    ),
    "train bind from a file": Line(
        "train bind {both} -o {out}/bound_again --config {out}/bound/settings.toml --epochs 1",
        after=("train bind",),
        says="the anchor",
    ),
    "train contrastive in full": Line(
        "train contrastive {out}/both.cosmos -o {out}/tuned --tune image=lora,dna=full --lora-rank 2 --chunk 4 --augment clibd "
        "--crop 0.2 --mutate 0.02 --size 64 --workers 1 --cache-gb 0.5 --dna {out}/dna --drop image-text --targets bin "
        "--epochs 1 --batch-size 4 --device cpu",
        after=("collect pictures and barcodes", "train barcode"),
        says="with dna and text",
    ),
    "split barcodes of two kinds": Line(
        "split {out}/coi.cosmos --method random --name kinds --fractions train=0.6,test=0.2,test_unseen=0.2",
        after=("ingest barcodes",),
    ),
    "evaluate a linear probe": Line(
        "evaluate {out}/coi.cosmos -e kmer:5 --protocol open-world --linear --aligned --gallery kinds:train --queries kinds:test "
        "--unseen kinds:test_unseen --report {out}/linear.html",
        after=("split barcodes of two kinds",),
        says="of unseen species",
    ),
    "evaluate across modalities": Line(
        "evaluate {both} -e {space} --protocol cross-modal --linear --damage --gallery train --unseen-keys key_unseen "
        "--queries test --unseen test_unseen --calibration val --calibration-unseen val_unseen --device cpu "
        "--report {out}/across.html",
        says="of unseen species",
    ),
    "train barcode to species": Line(
        "train barcode {out}/coi.cosmos -o {out}/named --init {out}/masked --objective species --rank species --epochs 1",
        after=("train barcode masked",),
        says="accuracy of species",
    ),
    # ------------------------------------------------------------------ benchmarks of the BIOSCAN papers
    "benchmark barcodes": Line(
        "benchmark barcodes {bioscan5m} -o {out}/models -e kmer:5 -e {out}/masked --fine-tune {out}/masked --epochs 1 --linear "
        "--aligned --seed 3 --device cpu --allow-code",
        after=("train barcode masked",),
        says="genus of unseen species",
    ),
    "benchmark barcodes of 1M": Line(
        "benchmark barcodes {bioscan1m} --partition {clibd} --images {bioscan1m} --size original_256 --no-linear --no-aligned "
        "-o {out}/models1m",
        says="missing: species, linear",
    ),
    "benchmark clustering": Line(
        "benchmark clustering {bioscan1m} --partition {clibd} --images {bioscan1m} --size original_256 -o {out}/zero_shot "
        "--image efficientnet-lite0 --dna kmer:5 --no-joined --reducer none --seed 3 --device cpu --allow-code",
        says="missing: images with barcodes",
    ),
    "benchmark retrieval": Line(
        "benchmark retrieval {bioscan5m} --images {bioscan5m} --size cropped_256 --image efficientnet-lite0 --dna kmer:5 "
        "--text '' --epochs 1 --seed 3 --device cpu --allow-code -o {out}/retrieval",
        says="missing: images to names",
    ),
    "benchmark retrieval as published": Line(
        "benchmark retrieval {bioscan5m} --as-published --image {clip} --dna {out}/masked --epochs 1 --device cpu -o {out}/clibd",
        after=("train barcode masked",),
        says="image to DNA",
    ),
    "benchmark retrieval of a space": Line(
        "benchmark retrieval {bioscan1m} --partition {clibd} --space {out}/retrieval/space -o {out}/retrieval1m",
        after=("benchmark retrieval",),
        says="image to DNA",
    ),
    # ------------------------------------------------------------------ discover
    "discover clusters": Line(
        "discover clusters {collection} -e efficientnet-lite0 --split train --report {out}/clusters.html", says="kept with"
    ),
    "discover a number of clusters": Line(
        """discover clusters {collection} --within Animalia --where "label IS NOT NULL" --standardise zscore --reducer pca """
        "--dims 8 --again l2 --method ward --clusters 7 --seed 3 -o {out}/clusters.csv",
        says="7 clusters (zscore, pca 8, l2, ward of 7 clusters)",
    ),
    "discover below a distance": Line(
        "discover clusters {collection} --reducer pca --variance 0.9 --method average --threshold 0.4"
    ),
    "discover dense clusters": Line(
        "discover clusters {collection} --method hdbscan --min-cluster-size 4 --min-samples 2 --largest 0.5"
    ),
    "discover communities": Line(
        "discover clusters {collection} --allow-code --reducer none --method leiden --neighbours 8 --resolution 1.5"
    ),
    "discover by affinity": Line("discover clusters {collection} --method affinity --damping 0.8"),
    "discover on a map": Line(
        "discover clusters {collection} --reducer tsne --space-neighbours 10 --method kmeans --clusters 5",
        says="tsne 2, kmeans of 5",
    ),
    "discover duplicates": Line(
        'discover duplicates {collection} -e efficientnet-lite0 --within Animalia --where "label IS NOT NULL" --bits 24 '
        "--cosine 0.97 --leaks default --seed 1 --allow-code -o {out}/doubles.csv --report {out}/doubles.html",
        says="kept with the collection as duplicates",
    ),
    "discover series": Line(
        "discover duplicates {collection} --kinds identical,series --by group --minutes 5 --split train --spare {out}/spare.txt",
        says="ids in",
    ),
    "split by duplicates": Line(
        "split {collection} --method grouped --duplicates --name whole", after=("discover duplicates",), says="groups stay whole"
    ),
    "discover labels": Line(
        """discover labels {collection} -e efficientnet-lite0 --split train --within Animalia --where "label IS NOT NULL" """
        "--seed 2 --second-encoder theirs --allow-code -o {out}/suspects.csv --report {out}/suspects.html",
        after=("embed vectors",),
        says="no label was changed",
    ),
    "discover labels that a person accepts": Line(
        "discover labels {out}/theirs.cosmos --accept {accepted} --by Ada --to-labels", says="by hand recorded"
    ),
    "discover a map": Line(
        """discover map {collection} -e efficientnet-lite0 --split train --within Animalia --where "label IS NOT NULL" --seed
        2 """
        "--reducer tsne --by class,part --allow-code -o {out}/atlas.parquet --report {out}/map.html",
        says="laid out by tsne",
    ),
    "discover unknowns": Line(
        """discover unknowns {collection} -e efficientnet-lite0 --queries test --split train --where "label IS NOT NULL" """
        "--within Animalia --false-discoveries 0.9 --promise 0.3 --second-encoder theirs --seed 2 --allow-code "
        "-o {out}/unknowns.csv --report {out}/unknowns.html",
        after=("embed vectors",),
        says="groups are unlike every known taxon",
    ),
    "discover a name": Line(
        "discover unknowns {collection} --name BC-001=Oithona --by Ada", after=("discover unknowns",), says="by hand recorded"
    ),
}

FOUND = " --near 43.7,7.3:50km --box 40,0,45,10 --season 05-01/07-31 --depths 0-100"
"""All specimens of the workshop's collection were found there and then."""
for _name in (
    *("split by taxon", "export", "relabel", "remove only to look", "search", "identify", "evaluate", "queue", "tokens study"),
    *("train heads of attributes", "train place here", "discover a number of clusters", "discover duplicates", "discover labels"),
    *("discover a map", "discover unknowns", "summarize a taxon"),
):
    LINES[_name] = replace(LINES[_name], text=LINES[_name].text + FOUND)
