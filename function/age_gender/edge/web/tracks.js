/**
 * Joins the faces of one video's frames into tracks, so that a person is counted once. Boxes are
 * compared, nothing else, as the command line does: someone who leaves and comes back is another
 * track.
 */

/** @typedef {import("./service.js").Face} Face */
/** @typedef {[number, number, number, number]} Box */

/** Overlap (intersection over union) of a face's boxes in two frames: a head turns and moves. */
const MIN_IOU = 0.2;
/** Frames in which a face may be missing before its track ends. */
const MAX_MISSES = 2;
/** Keeps the logarithm of a probability finite. */
const MAX_PROBABILITY = 1 - 1e-4;
/** A face seen in fewer frames is not listed once its track has ended: mostly no face. */
const MIN_FRAMES = 2;

/** One person, as long as the boxes overlap. */
export class Track {
  misses = 0;
  frames = 0;
  /** Whether the face was reliable in any frame; then only such frames count. */
  reliable = false;
  /** @type {number[]} */
  #ages = [];
  /** @type {[number, number][]} */
  #intervals = [];
  #logOdds = 0;
  /** @type {Set<string>} */
  #reasons = new Set();

  /**
   * @param {number} number from 1, in the order of appearance
   * @param {Face} face
   * @param {number} seconds
   */
  constructor(number, face, seconds) {
    this.number = number;
    this.first = seconds;
    this.last = seconds;
    /** @type {Face} */
    this.face = face;
    /** The side of the largest face so far that is as reliable as the track, pixels. */
    this.bestSide = 0;
  }

  /**
   * Take in the face of one more frame.
   *
   * @param {Face} face with age and gender
   * @param {number} seconds
   * @returns {boolean} whether it shows the person better than all before
   */
  add(face, seconds) {
    this.face = face;
    this.last = seconds;
    this.misses = 0;
    this.frames += 1;
    const reliable = face.reliable !== false;
    if (this.reliable && !reliable) return false;
    if (reliable && !this.reliable) {
      this.reliable = true;
      this.#ages = [];
      this.#intervals = [];
      this.#logOdds = 0;
      this.bestSide = 0;
    }
    const probability = Math.min(Math.max(face.gender_probability ?? 0.5, 0.5), MAX_PROBABILITY);
    const odds = Math.log(probability / (1 - probability));
    this.#ages.push(face.age ?? 0);
    this.#intervals.push(face.age_interval ?? [0, 0]);
    this.#logOdds += face.gender === "M" ? odds : -odds;
    for (const reason of face.reasons ?? []) this.#reasons.add(reason);
    const side = Math.min(face.box[2] - face.box[0], face.box[3] - face.box[1]);
    const better = side > this.bestSide;
    this.bestSide = Math.max(side, this.bestSide);
    return better;
  }

  /** Whether the track goes on: a face may be missing for a frame or two. */
  get alive() {
    return this.misses <= MAX_MISSES;
  }

  /**
   * The person in the shape of a face, for the words and tables of faces: median age, median
   * interval, and the mean probability of the likelier gender, since frames of one face are no
   * independent evidence.
   *
   * @returns {Face}
   */
  get estimate() {
    return {
      box: this.face.box,
      confidence: this.face.confidence,
      age: median(this.#ages),
      age_interval: [
        median(this.#intervals.map(([low]) => low)),
        median(this.#intervals.map(([, high]) => high)),
      ],
      gender: this.#logOdds >= 0 ? "M" : "F",
      gender_probability: 1 / (1 + Math.exp(-Math.abs(this.#logOdds) / this.#ages.length)),
      reliable: this.reliable,
      reasons: this.reliable ? [] : [...this.#reasons],
    };
  }
}

/** Assigns the faces of one video's frames, in their order, to tracks. */
export class Tracker {
  /** @type {Track[]} */
  #tracks = [];

  /** The people so far, without those that were seen once only and are gone. */
  get people() {
    return this.#tracks.filter((track) => track.alive || track.frames >= MIN_FRAMES);
  }

  /**
   * Give each face to the track it overlaps most, the best overlap first, or to a new one.
   *
   * @param {Face[]} faces
   * @param {number} seconds
   * @returns {{track: Track, better: boolean}[]} in the order of the faces; see `Track.add`
   */
  add(faces, seconds) {
    const alive = this.#tracks.filter((track) => track.alive);
    for (const track of alive) track.misses += 1;
    const pairs = faces
      .flatMap((face, index) =>
        alive.map((track) => ({ index, track, overlap: iou(face.box, track.face.box) })),
      )
      .filter(({ overlap }) => overlap >= MIN_IOU)
      .sort((one, other) => other.overlap - one.overlap);
    /** @type {Map<number, Track>} */
    const assigned = new Map();
    const taken = new Set();
    for (const { index, track } of pairs) {
      if (assigned.has(index) || taken.has(track)) continue;
      assigned.set(index, track);
      taken.add(track);
    }
    return faces.map((face, index) => {
      const track = assigned.get(index) ?? this.#start(face, seconds);
      return { track, better: track.add(face, seconds) };
    });
  }

  /**
   * @param {Face} face
   * @param {number} seconds
   */
  #start(face, seconds) {
    const track = new Track(this.#tracks.length + 1, face, seconds);
    this.#tracks.push(track);
    return track;
  }
}

/**
 * Intersection over union.
 *
 * @param {Box} one
 * @param {Box} other
 */
function iou(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / (area(one) + area(other) - shared);
}

/** @param {Box} box */
function area([x1, y1, x2, y2]) {
  return (x2 - x1) * (y2 - y1);
}

/**
 * The middle value, or the mean of the two in the middle.
 *
 * @param {number[]} values at least one
 */
export function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
