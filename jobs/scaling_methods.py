"""Of a scaling study (scaling-report.py): intervals of repeated runs, and the paragraph of methods."""
import math
from statistics import mean, variance

# Student's t at 97.5 %, by degrees of freedom from 1 on; then by the last.
T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080,
        2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042, 1.96)


def quantile(freedom):
    return T975[min(max(int(freedom), 1), len(T975)) - 1]


def interval(values):
    """95 % of the mean of the logarithms, as (lowest, highest); None: fewer than three runs, or some are 0."""
    if len(values) < 3 or min(values) <= 0:
        return None
    logs = [math.log(v) for v in values]
    half = quantile(len(logs) - 1) * math.sqrt(variance(logs) / len(logs))
    return math.exp(mean(logs) - half), math.exp(mean(logs) + half)


def ratio_interval(above, below):
    """Of the ratio of two sets of runs."""
    if min(len(above), len(below)) < 3 or min(*above, *below) <= 0:
        return None
    logs = [[math.log(v) for v in values] for values in (above, below)]
    parts = [variance(x) / len(x) for x in logs]
    centre, whole = mean(logs[0]) - mean(logs[1]), sum(parts)
    freedom = whole**2 / sum(p**2 / (len(x) - 1) for p, x in zip(parts, logs)) if whole > 0 else 1e9
    half = quantile(freedom) * math.sqrt(whole)
    return math.exp(centre - half), math.exp(centre + half)


NAMES = {"strong": "strong scaling", "weak": "weak scaling", "weak-layers": "weak scaling by layers", "io": "files", "binding": "threads, ranks and binding"}


def several(values):
    values = sorted(set(values), key=str)
    return ", ".join(map(str, values[:-1])) + " and " + str(values[-1]) if len(values) > 1 else str(values[0])


def methods(kind, cases, base, reports):
    """A paragraph to paste; what a reader needs to repeat the study, from the reports alone."""
    model, run, settings = reports[0]["model"], reports[0]["run"], reports[0]["settings"]
    program = reports[0]["olica_mpi"]
    ranks = [rank for report in reports for rank in report["ranks"]]
    runs = sorted({c.runs for c in cases})
    tokens = f"{settings['calibration']['samples']} × {settings['calibration']['length']} calibration tokens"
    size = {"weak": f"{settings['calibration']['samples'] // run['ranks']} calibration sequences of {settings['calibration']['length']} tokens a rank",
            "weak-layers": f"{model['layers'] // run['ranks']} layers a rank, {tokens}"}.get(kind, tokens)
    layers = "" if kind == "weak-layers" else f"{model['layers']} layers, "
    crowded = [c for c in cases if c.crowded]
    sentences = [
        f"Methods. We measured {NAMES[kind]} of olica_mpi {program['version']} ({program.get('git', 'no commit')}) on {several(r.get('processor', 'unknown processors') for r in ranks)}.",
        f"The model is of family {model['family']} with {layers}hidden size {model['hidden']}, FFN {model['ffn']} and {model['heads']}/{model['kv_heads']} heads; "
        f"a job prunes {100 * float(settings['prune']['sparsity']):g} % by method {settings['prune']['method']} with {size}, in {run['precision']} ({run['kernel']}).",
        f"Each of the {len(cases)} cases (ranks × threads on nodes: {', '.join(f'{c.ranks} × {c.threads} on {c.nodes}' + (f' with {c.label}' if c.label else '') for c in cases)}) "
        f"was run {runs[0] if len(runs) == 1 else f'{runs[0]} to {runs[-1]}'} time{'s' * (runs[-1] > 1)}, the repetitions outermost, so that slow moments of the machine meet all cases alike.",
        "Times are wall times of the slowest rank; we give medians over the runs." + (
            " Intervals of 95 % are Student's t of the mean of the runs' logarithms, those of efficiencies Welch's of the ratio." if runs[-1] >= 3 else " There are too few runs for intervals."),
        f"Speed-ups are against {base.ranks} ranks × {base.threads} threads ({base.phase['job']['mean_s']:.3f} s); time in collectives includes waiting, and leaves out that inside HDF5 and ScaLAPACK."]
    if crowded:
        sentences.append(f"In {len(crowded)} cases ranks × threads outnumbered the cores of a node; their times are no measure of scaling.")
    return "\n".join(sentences)
