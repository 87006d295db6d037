/** How often a playbook may execute for one visitor. */

/** How many playbooks are remembered. */
const MAX_PLAYBOOKS = 200;

/** @typedef {import("./types").Playbook} Playbook */

export class FrequencyCap {
  /** @param {import("./storage.js").VisitorStorage} storage */
  constructor(storage) {
    this.storage = storage;
  }

  /** @returns {Record<string, number[]>} */
  read() {
    const times = this.storage.read("executed");
    return times && typeof times === "object" && !Array.isArray(times) ? times : {};
  }

  /** The counted executions, oldest first. @param {Playbook} playbook @param {number} at @returns {number[]} */
  list(playbook, at) {
    const times = this.read()[playbook.id];
    const { perMs = Infinity } = playbook.frequency || {};
    return Array.isArray(times) ? times.filter((time) => typeof time === "number" && time <= at && at - time < perMs) : [];
  }

  /** @param {Playbook} playbook @param {number} at */
  allows(playbook, at) {
    return !playbook.frequency || this.list(playbook, at).length < playbook.frequency.max;
  }

  /** Count an execution. @param {Playbook} playbook @param {number} at */
  count(playbook, at) {
    if (!playbook.frequency) return;
    const { [playbook.id]: _, ...times } = this.read();
    Object.keys(times)
      .slice(0, 1 - MAX_PLAYBOOKS)
      .forEach((id) => delete times[id]);
    const counted = [...this.list(playbook, at), at].slice(-playbook.frequency.max);
    this.storage.write("executed", { ...times, [playbook.id]: counted });
  }
}
