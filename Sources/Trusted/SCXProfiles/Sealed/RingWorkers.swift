import SCXEncoding
import SCXInference
package import SCXLink

/// The main workers of profile `sealed`: any row can go to any of them, since none holds anything of a session.
///
/// The rows of a request are divided by measured speed. A worker whose connection breaks is left out until it can be
/// connected to again, and one that lies is left out for a while (``Availability``). Workers that hold the shards of
/// one model are one member together.
///
/// Not thread-safe: one forward pass owns it.
package final class RingWorkers {
    /// One worker, or the workers that together hold all shards.
    private struct Member {
        let name: String
        /// The member's links, in the order of their shards.
        let links: [any WorkerLink]
        var times = AnswerTimes()
        /// Measured speed in multiply-adds a second; nil before the first product.
        var speed: Double? { times.speed }
    }

    /// A request that was sent, with the parts that went to different workers.
    struct Sent {
        fileprivate let parts: [Part]
        let site: RingSite
        /// How many of the site's groups the rows have channels of.
        let groups: Int
        let rows: Int
    }

    fileprivate struct Part {
        let member: Int
        let rows: Range<Int>
        let requests: [SentRequest]
        let start: ContinuousClock.Instant
    }

    private var members: [Member]
    private let availability: Availability
    private let warn: @Sendable (String) -> Void

    /// Makes a list of workers, all of which can be asked.
    ///
    /// - Parameters:
    ///   - links: For each member its name and its links, in the order of their shards.
    ///   - warn: Called with a line each time that a worker is left out, and when one that was lost is back.
    ///   - now: Returns the current time, which decides when workers that lied are asked again.
    package init(
        _ links: [(name: String, links: [any WorkerLink])],
        warn: @escaping @Sendable (String) -> Void = { _ in },
        now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        precondition(!links.isEmpty && links.allSatisfy { !$0.links.isEmpty }, "RingWorkers: no worker")
        members = links.map { Member(name: $0.name, links: $0.links) }
        availability = Availability(count: links.count, now: now)
        self.warn = warn
    }

    deinit { availability.close() }

    /// The names of the members.
    package var names: [String] { members.map(\.name) }

    /// Whether rows can be sent to a worker.
    ///
    /// While all workers are lost, it waits for the first attempt to reach one of them again.
    var canBeAsked: Bool { !availability.usable().isEmpty }

    package var traffic: Traffic {
        members.flatMap(\.links).reduce(Traffic()) { $0 + $1.traffic }
    }

    /// Sends rows to the workers; while all are lost, waits for the first attempt to reach one of them again.
    ///
    /// - Parameters:
    ///   - tensor: The rows.
    ///   - site: The site by which they are multiplied.
    ///   - groups: The groups of the site whose channels the rows have.
    /// - Returns: What the answers are waited for with.
    /// - Throws: ``LinkError`` when a worker cannot be reached; it is left out from now on.
    func send(_ tensor: RingTensor, _ site: RingSite, groups: [Int]) throws(LinkError) -> Sent {
        let (layer, name) = site.site.named
        var parts: [Part] = []
        let shares = shares(of: tensor.rows)
        guard !shares.isEmpty else { throw .unreachable("all workers are lost or left out") }
        for (member, rows) in shares {
            let part =
                rows.count == tensor.rows
                ? tensor
                : RingTensor(
                    paddedRows: rows.count, channels: tensor.channels,
                    values: Array(
                        tensor.values[rows.lowerBound * tensor.channels..<rows.upperBound * tensor.channels]))
            let start = ContinuousClock.now
            do throws(LinkError) {
                let some = groups.count == site.groups ? nil : groups
                let request = Request(.linearRing(layer: layer, site: name, groups: some), part)
                var requests: [SentRequest] = []
                for link in members[member].links { requests.append(try link.send(request)) }
                parts.append(Part(member: member, rows: rows, requests: requests, start: start))
            } catch {
                leaveOut(member, error)
                throw error
            }
        }
        return Sent(parts: parts, site: site, groups: groups.count, rows: tensor.rows)
    }

    /// Waits for the results of rows that were sent, `[rows, outputs]`.
    ///
    /// - Throws: ``LinkError`` when a worker's connection breaks or it answers in another shape; it is left out from
    ///   now on.
    func receive(_ sent: Sent) throws(LinkError) -> RingTensor {
        var values: [UInt32] = []
        var failure: LinkError?
        // All answers are read, even after a failure, so that the connections of the other workers stay usable.
        for part in sent.parts {
            do throws(LinkError) {
                let own = try receive(part, sent.site, groups: sent.groups)
                if sent.parts.count == 1 { return own }
                values += own.values
            } catch {
                leaveOut(part.member, error)
                failure = error
            }
        }
        if let failure { throw failure }
        return RingTensor(
            joinedRows: sent.rows, channels: sent.groups * sent.site.groupOutputs, values: values)
    }

    private func receive(_ part: Part, _ site: RingSite, groups: Int) throws(LinkError) -> RingTensor {
        let links = members[part.member].links
        let work = Double(part.rows.count * groups) * Double(site.groupInputs) * Double(site.groupOutputs)
        let limit = members[part.member].times.limit(work: work)
        var columns: [RingTensor] = []
        for (index, (link, request)) in zip(links, part.requests).enumerated() {
            let outputs =
                groups * (Shard(index: index, of: links.count)?.range(of: site.groupOutputs).count ?? 0)
            guard case .ring(let tensor) = try link.receive(request, within: limit),
                tensor.rows == part.rows.count, tensor.channels == outputs
            else { throw .unexpectedAnswer("expected \(part.rows.count) rows of \(outputs) channels") }
            columns.append(tensor)
        }
        members[part.member].times.add(work: work, took: ContinuousClock.now - part.start)
        guard columns.count > 1 else { return columns[0] }
        var values: [UInt32] = []
        values.reserveCapacity(part.rows.count * groups * site.groupOutputs)
        // Each worker has a part of the outputs of each group.
        for group in 0..<part.rows.count * groups {
            for tensor in columns {
                let width = tensor.channels / groups
                values += tensor.values[group * width..<(group + 1) * width]
            }
        }
        return RingTensor(joinedRows: part.rows.count, channels: groups * site.groupOutputs, values: values)
    }

    /// Divides the rows of a request among the workers.
    ///
    /// The numbers are in proportion to the workers' speeds; few rows all go to the fastest worker. The result is empty
    /// when all workers are lost.
    private func shares(of rows: Int) -> [(member: Int, rows: Range<Int>)] {
        let usable = availability.usable()
        guard usable.count > 1, rows >= 4 * usable.count else {
            let best = usable.max { (members[$0].speed ?? .infinity) < (members[$1].speed ?? .infinity) }
            return best.map { [($0, 0..<rows)] } ?? []
        }
        // A worker whose speed is not known gets as many rows as the mean of the others.
        let known = usable.compactMap { members[$0].speed }
        let mean = known.isEmpty ? 1 : known.reduce(0, +) / Double(known.count)
        let speeds = usable.map { members[$0].speed ?? mean }
        let total = speeds.reduce(0, +)
        var shares: [(Int, Range<Int>)] = []
        var (first, sum) = (0, 0.0)
        for (member, speed) in zip(usable, speeds) {
            sum += speed
            let end = member == usable.last ? rows : min(rows, Int((Double(rows) * sum / total).rounded()))
            if end > first { shares.append((member, first..<end)) }
            first = max(first, end)
        }
        return shares
    }

    /// Excludes the worker that computed a row wrongly for a while, even if it is the only one.
    ///
    /// - Parameters:
    ///   - row: The number of the row in the request.
    ///   - column: The first output that is wrong; nil when it is not known.
    ///   - sent: The request.
    func distrust(_ row: Int, column: Int?, _ sent: Sent) {
        guard let member = sent.parts.first(where: { $0.rows.contains(row) })?.member,
            let pause = availability.bar(member)
        else { return }
        let count = members[member].links.count
        let shard = column.flatMap { column in
            (0..<count).first { index in
                Shard(index: index, of: count)?.range(of: sent.site.groupOutputs)
                    .contains(column % sent.site.groupOutputs) == true
            }
        }
        let part = shard.map { "the worker of shard \($0 + 1) of \(count)" } ?? "one of them"
        let liar = count == 1 ? "it" : part
        warn(
            "worker \(members[member].name) is left out for \(pause / .seconds(1)) s: "
                + "\(liar) returned a wrong product")
    }

    private func leaveOut(_ member: Int, _ error: LinkError) {
        let (name, links) = ("worker \(members[member].name)", members[member].links)
        switch error {
        case .malformedFrame, .incompatible, .timedOut, .disconnected, .unreachable:
            availability.lose(member, named: name, error, warn: warn) { () throws(LinkError) in
                for link in links { try link.connect() }
            }
        case .invalidRequest, .workerFull, .unexpectedAnswer:
            guard let pause = availability.suspend(member) else { return }
            warn("\(name) is left out for \(pause / .seconds(1)) s: \(error)")
        }
    }
}
