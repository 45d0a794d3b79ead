"""Simulated EEG of people who look at drawn pictures, through the forward model of a spherical head.

    python prepare_data.py simulated --output demo/simulated/data --snr 1.0

Current dipoles in visual areas of a four-shell sphere (MNE) respond to each picture with evoked components between 90 and
420 ms. Their amplitudes and latencies encode the picture's class, colour, number, place and background. All subjects share
this code, but each has dipole places, orientations and gains of its own. The background is 1/f activity of the whole
cortex, occipital alpha, line noise, eye blinks and sensor noise. The continuous recording is then processed like a real
one: band-pass, standardisation of each channel, epochs, baseline. Trials are in the order of presentation, which is random.

With `--scenes objects` pictures show several things and have five captions each, in words of their own. With `--snr 0` the
EEG holds no trace of the pictures. `--order blocks --drift 20` shows what the audit is for: slow changes
then give the class away.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.options import seed_option

import numpy as np

from eegdata.records import Block, DataSet, Picture, Recording

from . import drawings, epochs, mixtures, preprocessing

if TYPE_CHECKING:
    import mne

MONTAGE = "biosemi64"
HEAD_RADIUS, BRAIN_RADIUS = .095, .072  # m; dipoles lie within the brain's sphere
ATTRIBUTE_VALUES = {"kind": drawings.CLASSES, "colour": tuple(drawings.COLOURS), "number": tuple(drawings.NUMBERS),
              "place": tuple(drawings.PLACES), "background": tuple(drawings.BACKGROUNDS)}
COMPONENTS = ((.095, .018), (.160, .025), (.230, .035), (.310, .045), (.420, .060))  # s: latency, standard deviation
ATTRIBUTE_WEIGHTS = {"kind": 1.5, "colour": 1.3, "number": .9, "place": 1., "background": 1.}  # strengths
CODE_SEED = 1812  # the code from attributes to dipoles is the same in every simulation
# Unit directions (right, front, up) of the visual dipoles, left hemisphere; each has its mirror on the right.
VISUAL_DIPOLES = ((-.15, -.97, .05), (-.25, -.92, .30), (-.40, -.90, -.10), (-.60, -.78, .10), (-.70, -.65, -.20),
          (-.80, -.50, -.10), (-.90, -.25, -.15), (-.55, -.60, .58))
EYE_DIPOLES = ((-.33, .93, -.15), (.33, .93, -.15))
SOA = (.85, 1.05)  # s between picture onsets
BACKGROUND_RMS, ALPHA_RMS, LINE_RMS, SENSOR_RMS, BLINK_PEAK = 10., 5., 4., 1., 90.  # microvolt on the scalp
PICTURE_SHARE = .65  # share of the evoked RMS amplitude that depends on the picture
BASELINE_SECONDS = .1  # s before the onset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--snr", type=float, default=1.0, help="RMS amplitude of the evoked response on the scalp, 0 to "
                        "0.6 s after the onset, divided by that of the 1/f background; 0 switches the response off")
    parser.add_argument("--n_subjects", type=int, default=4, help="number of simulated people")
    parser.add_argument("--n_pictures", type=int, default=480, help="number of different pictures, shared by all subjects")
    parser.add_argument("--trials_per_picture", type=int, default=1, help="how often each subject sees each picture")
    parser.add_argument("--classes", nargs="+", default=list(drawings.CLASSES), choices=drawings.CLASSES,
                        metavar="CLASS", help="classes to draw")
    parser.add_argument("--scenes", choices=("things", "objects", "unnamed"), default="things", help="things: pictures of "
                        "one class with one caption; objects: of up to three classes with five captions, like COCO's; "
                        "unnamed: the same, but nobody says which classes they show")
    parser.add_argument("--sfreq", type=float, default=250., help="sampling rate of the simulation in Hz")
    epochs.filter_options(parser, .5, 40.)
    epochs.window_options(parser, -.2, .6, f"the {BASELINE_SECONDS:g} s before the onset, without the sample at the onset; "
                                           "none if --tmin is not below 0", "that of the simulation, --sfreq")
    parser.add_argument("--order", choices=("random", "blocks"), default="random",
                        help="order of presentation: random, or one block for each class (a design to avoid)")
    parser.add_argument("--drift", type=float, default=0., help="slow drift over the recording: its RMS in "
                        "microvolts at each electrode, and in percent of the amplitude of each source")
    parser.add_argument("--image_size", type=int, default=224, help="width and height of the pictures in pixels")
    seed_option(parser, "pictures, people, noise and order")


def find(args: argparse.Namespace) -> DataSet:
    """The simulated DataSet: a recording a subject."""
    classes = list(dict.fromkeys(args.classes))
    _check(args, classes)
    settings = epochs.settle(args, args.sfreq, unset=before_onset)
    epochs.check_filters(settings, "the simulation", args.sfreq, np.inf)
    if args.scenes == "things":
        scenes = drawings.sample_scenes(args.n_pictures, args.seed, classes)
        names = [f"{scene.kind}_{i:04d}" for i, scene in enumerate(scenes)]
    else:
        scenes = mixtures.sample_mixtures(args.n_pictures, args.seed, classes)
        names = [f"scene_{i:04d}" for i in range(len(scenes))]
    asked = {name: getattr(args, name) for name in ("snr", "n_pictures", "trials_per_picture", "sfreq", "tmin", "tmax",
                                                    "image_size", "seed", "order", "drift")}
    asked |= {"classes": classes, "band": [settings.l_freq, settings.h_freq]}
    asked |= {name: value for name in ("resample", "baseline") if (value := getattr(args, name)) is not None}
    asked |= {"scenes": args.scenes} if args.scenes != "things" else {}
    known = [] if args.scenes == "unnamed" else classes
    recordings = [Recording(f"subject {n}", n, 1, [n, asked], partial(_read, scenes, names, classes, args, settings, n))
                  for n in range(1, args.n_subjects + 1)]
    return DataSet(
        recordings, sfreq=settings.sfreq, ch_names=montage().ch_names, n_times=settings.n_times, tmin=settings.tmin,
        units="standardised", class_ids=known, class_names=known, pictures=_pictures(args, names, scenes),
        objects={name: sorted(map(classes.index, scene.kinds)) for name, scene in zip(names, scenes, strict=True)}
        if args.scenes == "objects" else None,
        preprocessing=preprocessing.kept(settings, montage().ch_names, standardised=True),
        about={**asked, "steps": _steps(args, settings)})


def _pictures(args, names, scenes):
    if args.scenes == "things":
        return {name: Picture(partial(drawings.draw, scene, args.image_size), (drawings.caption(scene),))
                for name, scene in zip(names, scenes, strict=True)}
    return {name: Picture(partial(mixtures.draw, scene, args.image_size), mixtures.captions(scene))
            for name, scene in zip(names, scenes, strict=True)}


def _read(scenes, names, classes, args, settings, subject):
    """One subject's trials, in the order of presentation."""
    recording = simulate_recording(scenes, args.trials_per_picture, args.snr, args.sfreq, (args.seed, subject), args.order,
                                   args.drift)
    label = [classes.index(scenes[i].kind) if args.scenes == "things" else -1 for i in recording["image"]]
    eeg, kept, dropped = preprocess(recording, settings)
    yield Block(eeg, np.array(label)[kept], [names[recording["image"][i]] for i in kept],
                recording["onset"][kept] / args.sfreq, dropped=dropped)


def _steps(args, settings):
    """What was done to the EEG, as sentences for the record."""
    resampled = [f"resampled to {settings.sfreq:g} Hz"] if settings.sfreq != args.sfreq else []
    baseline = ("no baseline subtracted" if settings.baseline is None else
                f"mean of the {BASELINE_SECONDS:g} s before the picture subtracted" if args.baseline is None else
                f"mean from {settings.baseline[0]:g} to {settings.baseline[1]:g} s subtracted")
    return [epochs.band_text(settings), "each channel standardised over the recording", *resampled, baseline]


def before_onset(start: float, sfreq: float) -> epochs.Baseline:
    """The baseline without --baseline: up to BASELINE_SECONDS s before the onset, without the onset's own sample."""
    return (max(start, -round(BASELINE_SECONDS * sfreq) / sfreq), -1 / sfreq) if start < 0 else None


def _check(args, classes):
    most = len(classes) * drawings.SCENES_PER_CLASS
    if args.scenes != "things" and args.order == "blocks":
        raise InputError(f"--order blocks: a block shows one class, and pictures of --scenes {args.scenes} have none or "
                         "several; leave it out")
    for flag, good, expected in (
            ("snr", np.isfinite(args.snr) and args.snr >= 0, "0 or more"),
            ("classes", len(classes) >= 2, "two or more classes"),
            ("n_subjects", args.n_subjects >= 1, "1 or more"),
            ("trials_per_picture", args.trials_per_picture >= 1, "1 or more"),
            ("n_pictures", 3 * len(classes) <= args.n_pictures <= most,
             f"{3 * len(classes)} (3 a class, one for each part) to {most} (all different scenes)"),
            ("image_size", 16 <= args.image_size <= 1024, "16 to 1024"),
            ("drift", 0 <= args.drift <= 100, "0 to 100"),
            ("sfreq", 110 <= args.sfreq <= 2000, "110 to 2000 (the mains hum at 50 Hz must be below half of it)"),
            ("tmin", -.2 <= args.tmin < args.tmax, "-0.2 or more and less than tmax"),
            ("tmax", args.tmax <= SOA[0] - .2, f"at most {SOA[0] - .2:g}, before the next picture")):
        if not good:
            raise InputError(f"--{flag} {getattr(args, flag)}: expected {expected}")


def montage() -> "mne.channels.DigMontage":
    import mne

    return mne.channels.make_standard_montage(MONTAGE, head_size=HEAD_RADIUS)


def forward_gain(positions: np.ndarray, orientations: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Potential on each electrode of unit dipoles (MNE spherical head model).

    positions [n, 3] m, orientations [n, 3]; returns gain [channels, n] and the channel names.
    """
    import mne

    info = mne.create_info(montage().ch_names, 250., "eeg").set_montage(montage())
    sphere = mne.make_sphere_model((0., 0., 0.), HEAD_RADIUS, verbose="error")
    unit = orientations / np.linalg.norm(orientations, axis=1, keepdims=True)
    space = mne.setup_volume_source_space(pos={"rr": positions, "nn": unit}, verbose="error")
    solution = mne.make_forward_solution(info, None, space, sphere, meg=False, mindist=0., verbose="error")
    gain = solution["sol"]["data"].reshape(len(info.ch_names), len(positions), 3)
    gain = np.einsum("cnk,nk->cn", gain, unit)
    return gain - gain.mean(0), info.ch_names  # average reference


def scene_code(scenes: Sequence[drawings.Scene | mixtures.Mixture]) -> tuple[np.ndarray, np.ndarray]:
    """What each scene does to each visual dipole: amplitudes [scenes, dipoles, components] and delays [scenes] in s.

    Each value of each attribute has its own pattern; the patterns of a scene add up, and a part of the sum's strength
    saturates. Of several scenes in one picture (mixtures.py), the sum is divided by the square root of their number. A
    thing at one side drives the other hemisphere, early more than late.
    """
    rng = np.random.default_rng(CODE_SEED)
    shape = (2 * len(VISUAL_DIPOLES), len(COMPONENTS))
    pictures, scenes = len(scenes), [(number, part) for number, scene in enumerate(scenes) for part in scene.parts]
    number = np.array([number for number, _ in scenes])
    share = 1 / np.bincount(number, minlength=pictures)[number]
    amplitude, delay = np.zeros((pictures, *shape)), np.zeros(pictures)
    for attribute, values in ATTRIBUTE_VALUES.items():
        patterns = rng.normal(size=(len(values), *shape))
        delays = rng.normal(size=len(values)) * .004
        if attribute == "place":
            hemisphere = np.repeat([-1., 1.], len(VISUAL_DIPOLES))[:, None] * np.linspace(1.5, .5, len(COMPONENTS))
            patterns[values.index("left")] += hemisphere
            patterns[values.index("right")] -= hemisphere
        patterns = (patterns - patterns.mean(0)) / patterns.std()
        index = [values.index(getattr(scene, attribute)) for _, scene in scenes]
        np.add.at(amplitude, number, patterns[index] * ATTRIBUTE_WEIGHTS[attribute] * np.sqrt(share)[:, None, None])
        np.add.at(delay, number, delays[index] * share)
    amplitude /= np.sqrt(sum(weight ** 2 for weight in ATTRIBUTE_WEIGHTS.values()))
    return .7 * amplitude + .5 * np.tanh(amplitude), delay


def simulate_recording(scenes: list[drawings.Scene], trials_per_picture: int, snr: float, sfreq: float,
                       seed: int | tuple[int, ...], order: str = "random", drift: float = 0.) -> dict:
    """One subject's continuous recording.

    Returns a dict: `data` [channels, samples] microvolt, `sfreq`, `ch_names`, `onset` [trials] samples of picture
    onset, `image` [trials] number of the scene shown. At equal seeds, recordings of different SNR differ by nothing but
    the evoked response.
    """
    rng = np.random.default_rng(seed)
    image = rng.permutation(np.repeat(np.arange(len(scenes)), trials_per_picture))
    if order == "blocks":
        kinds = rng.permutation(sorted({scene.kind for scene in scenes})).tolist()
        image = image[np.argsort([kinds.index(scenes[i].kind) for i in image], kind="stable")]
    onset = np.round((2. + np.cumsum(rng.uniform(*SOA, len(image)))) * sfreq).astype(int)
    n = int(onset[-1] + 3 * sfreq)
    gain, ch_names = _subject_gain(rng)
    data = _background(gain, n, sfreq, rng, drift)
    evoked = _evoked(scenes, gain["visual"], sfreq, rng)
    evoked *= snr * BACKGROUND_RMS / np.sqrt(np.mean(evoked ** 2))
    for shown, start in zip(image, onset, strict=True):
        data[:, start:start + evoked.shape[2]] += evoked[shown]
    return {"data": data, "sfreq": sfreq, "ch_names": ch_names, "onset": onset, "image": image}


def _subject_gain(rng):
    """Gains of one subject's visual, cortical, alpha and eye dipoles: name -> [channels, dipoles]."""
    left = np.array(VISUAL_DIPOLES)
    visual = np.concatenate([left, left * [-1, 1, 1]])
    visual_orientation = visual + np.random.default_rng(CODE_SEED + 1).normal(scale=.6, size=visual.shape)
    cortex = rng.normal(size=(80, 3))
    cortex[:, 2] = np.abs(cortex[:, 2]) - .3
    alpha = np.array([(-.2, -.9, .4), (.2, -.9, .4), (-.4, -.8, .3), (.4, -.8, .3)])
    eyes = np.array(EYE_DIPOLES)
    groups = {"visual": (visual, .85, .07, visual_orientation, .25), "cortex": (cortex, .85, 0., cortex, .8),
              "alpha": (alpha, .8, .1, alpha, .3), "eyes": (eyes, 1.1, .02, eyes * [0, 1, 0], .05)}
    gain, ch_names = {}, None
    for name, (directions, depth, spread, orientation, tilt) in groups.items():
        places = directions / np.linalg.norm(directions, axis=1, keepdims=True) * depth
        places = places + rng.normal(scale=spread, size=places.shape)
        places *= BRAIN_RADIUS * np.minimum(1, 1.15 / np.linalg.norm(places, axis=1, keepdims=True))  # inside the skull
        gain[name], ch_names = forward_gain(places, orientation + rng.normal(scale=tilt, size=places.shape))
    gain["visual"] = gain["visual"] * rng.lognormal(sigma=.2, size=gain["visual"].shape[1])
    return gain, ch_names


def _evoked(scenes, gain, sfreq, rng):
    """The response to each scene on the scalp, 0-0.6 s: [scenes, channels, samples], of arbitrary unit."""
    time = np.arange(0, .6, 1 / sfreq)
    amplitude, delay = scene_code(scenes)
    mean = np.random.default_rng(CODE_SEED + 2).normal(size=amplitude.shape[1:])
    amplitude = PICTURE_SHARE * amplitude / amplitude.std() + np.sqrt(1 - PICTURE_SHARE ** 2) * mean
    amplitude = amplitude * rng.lognormal(sigma=.15, size=amplitude.shape[1:])
    latency, width = np.array(COMPONENTS).T
    latency = latency + rng.normal(scale=.006, size=len(latency))
    shape = np.exp(-.5 * ((time - delay[:, None, None] - latency[:, None]) / width[:, None]) ** 2)
    return np.einsum("cd,sdk,skt->sct", gain / gain.std(), amplitude, shape, optimize=True)


def _background(gain, n, sfreq, rng, drift):
    """1/f activity, alpha, mains hum, blinks, sensor noise and slow drift: [channels, n] microvolt."""
    slow = np.random.default_rng(rng.bit_generator.seed_seq.spawn(1)[0])  # the rest stays the same without drift
    cortex = _coloured(gain["cortex"].shape[1], n, sfreq, rng, lambda f: 1 / np.maximum(f, .5))
    if drift:
        cortex *= np.exp(drift / 100 * _walks(len(cortex), n, sfreq, slow))
    data = _scaled(gain["cortex"] @ cortex, BACKGROUND_RMS)
    if drift:
        data += drift * _walks(len(data), n, sfreq, slow)
    peak = rng.uniform(9., 11.)
    data += _scaled(gain["alpha"] @ _coloured(gain["alpha"].shape[1], n, sfreq, rng,
                                              lambda f: np.exp(-.5 * (f - peak) ** 2)), ALPHA_RMS)
    time = np.arange(n) / sfreq
    hum = rng.uniform(.5, 1.5, size=(len(data), 1)) * np.sin(2 * np.pi * 50. * time + rng.uniform(0, .3, (len(data), 1)))
    data += _scaled(hum, LINE_RMS)
    blinks = np.zeros(n)
    every = np.cumsum(rng.uniform(2., 8., size=int(n / sfreq / 2)))
    lid = np.hanning(round(.3 * sfreq))
    for start in (every[every < n / sfreq - 1.] * sfreq).astype(int):
        blinks[start:start + len(lid)] += lid * rng.uniform(.7, 1.3)
    eyes = gain["eyes"].sum(1, keepdims=True)
    data += eyes / eyes.max() * BLINK_PEAK * blinks
    return data + rng.normal(scale=SENSOR_RMS, size=data.shape)


def _walks(number, n, sfreq, rng):
    """Random walks over a recording [number, n], each of mean 0 and RMS 1."""
    seconds = np.arange(int(n / sfreq) + 2)
    walks = rng.normal(size=(number, len(seconds))).cumsum(1)
    walks = np.stack([np.interp(np.arange(n) / sfreq, seconds, walk) for walk in walks])
    walks -= walks.mean(1, keepdims=True)
    return walks / walks.std(1, keepdims=True)


def _coloured(sources, n, sfreq, rng, power):
    """Gaussian noise [sources, n] whose power spectrum is `power(frequency in Hz)`."""
    from scipy.fft import irfft, next_fast_len

    length = next_fast_len(n, real=True)
    amplitude = np.sqrt(power(np.fft.rfftfreq(length, 1 / sfreq))).astype(np.float32)
    spectrum = rng.standard_normal((sources, 2, len(amplitude)), dtype=np.float32)
    return irfft((spectrum[:, 0] + 1j * spectrum[:, 1]) * amplitude, length)[:, :n]


def _scaled(data, rms):
    return data * (rms / np.sqrt(np.mean(data ** 2)))


def preprocess(recording: dict, settings: epochs.Epoching) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Band-pass, standardise each channel over the recording, and cut it as `settings` (epochs.Epoching) say.

    Returns eeg [trials, channels, samples] float32, the numbers of the events that gave them, and {reason: events that gave
    no trial}.
    """
    import mne

    info = mne.create_info(recording["ch_names"], recording["sfreq"], "eeg", verbose="error")
    raw = mne.io.RawArray(recording["data"].astype(float), info, verbose="error")
    epochs.filter_recording(raw, settings)
    epochs.standardise(raw)
    trials, dropped = epochs.cut_trials(raw, recording["onset"] / recording["sfreq"], settings, np.eye(len(raw.ch_names)))
    return *epochs.joined(trials, len(raw.ch_names), settings), dropped
