import SCXInference
import SCXLink

extension ConformanceCheck {
    private static let seed = (0..<32).map { UInt8($0) }

    /// Products of integers.
    static let ring: [ConformanceCheck] = [
        ConformanceCheck(401, .ring, "'linearRing' at each kind of site, 1, 2 and 17 rows") { subject in
            try subject.needsRing()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 401)
            for site in subject.sites {
                for rows in [1, 2, 17] {
                    let values = numbers.words(rows * subject.model.inputs(of: site))
                    try session.compare(.linearRing(site, values, rows: rows))
                }
            }
            return "\(subject.sites.count) sites"
        },
        ConformanceCheck(402, .ring, "'linearRing' of several frames") { subject in
            try subject.needsRing()
            let site = subject.smallSite
            let inputs = subject.model.inputs(of: site)
            // Both the rows and the answer are larger than a frame where the worker takes that much.
            let width = min(inputs, subject.model.ringOutputs(of: site) / subject.hello.shard.count)
            let rows = min((5 << 20) / 2 / 4 / max(1, width) + 1, subject.largestTensor / 4 / inputs)
            var numbers = SampleNumbers(seed: 402)
            let session = try subject.session()
            try session.compare(.linearRing(site, numbers.words(rows * inputs), rows: rows))
            return "\(rows) rows of \(inputs) words"
        },
        ConformanceCheck(403, .ring, "'linearRing' of some experts or heads of a site") { subject in
            try subject.needsRing()
            let sites = subject.sites.filter { subject.model.groups(of: $0) > 1 }
            guard !sites.isEmpty else { throw ConformanceSkip("no site of the model has several matrices") }
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 403)
            for site in sites {
                let count = subject.model.groups(of: site)
                for groups in [[0], [count - 1], [0, count - 1], Array(0..<count)] {
                    let inputs = subject.model.inputs(of: site) / count * groups.count
                    try session.compare(
                        .linearRing(site, groups: groups, numbers.words(3 * inputs), rows: 3))
                }
            }
            return "\(sites.count) sites"
        },
        ConformanceCheck(404, .ring, "'padProducts' at each kind of site, 1, 2 and 17 rows") { subject in
            try subject.needsRing()
            let session = try subject.session()
            for site in subject.sites {
                for (first, rows) in [(0, 1), (7, 2), (1 << 31, 17)] as [(UInt32, Int)] {
                    try session.compare(.padProducts(site, seed: seed, first: first, count: rows))
                }
            }
            return "\(subject.sites.count) sites"
        },
        ConformanceCheck(405, .ring, "numbers of pads do not wrap after 2^32 - 1") { subject in
            try subject.needsRing()
            let session = try subject.session()
            for (first, rows) in [(.max, 2), (.max, 40), (.max - 1, 3)] as [(UInt32, Int)] {
                try session.compare(.padProducts(subject.smallSite, seed: seed, first: first, count: rows))
            }
            return "rows 2^32 - 2 to 2^32 + 38"
        },
        ConformanceCheck(406, .ring, "a window of products on their way, answered in any order") { subject in
            try subject.needsRing()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 406)
            let window = min(subject.hello.window, 64)
            for i in 0..<window {
                let site = subject.sites[i % subject.sites.count]
                if i % 3 == 2 {
                    try session.send(.padProducts(site, seed: seed, first: UInt32(i), count: 5))
                } else {
                    let rows = 1 + i % 4
                    let values = numbers.words(rows * subject.model.inputs(of: site))
                    try session.send(.linearRing(site, values, rows: rows))
                }
            }
            for _ in 0..<window { try session.receive() }
            return "\(window) requests"
        },
        ConformanceCheck(407, .ring, "a worker whose hello says ring 0 refuses products of integers") {
            subject in
            guard !subject.hello.isRing else { throw ConformanceSkip("the worker's hello says ring 1") }
            let client = try subject.open()
            let site = subject.smallSite
            let values = [UInt32](repeating: 1, count: subject.model.inputs(of: site))
            try client.askInVain(.linearRing(site, values, rows: 1), "linearRing")
            try client.askInVain(.padProducts(site, seed: seed, first: 0, count: 1), "padProducts")
            return "failure 1"
        },
    ]
}

extension WireRequest {
    static func linearRing(
        _ site: DecoderSite, groups: [Int]? = nil, _ values: [UInt32], rows: Int
    ) -> WireRequest {
        linearRing(site.named.layer, site.named.site.rawValue, groups: groups, values, rows: rows)
    }

    static func padProducts(_ site: DecoderSite, seed: [UInt8], first: UInt32, count: Int) -> WireRequest {
        padProducts(site.named.layer, site.named.site.rawValue, seed: seed, first: first, count: count)
    }

    static func linear(
        _ site: DecoderSite, slot: UInt32 = noSlot, exact: UInt8 = 0, _ values: [Float], rows: Int
    ) -> WireRequest {
        linear(site.named.layer, site.named.site.rawValue, slot: slot, exact: exact, values, rows: rows)
    }
}
