import Foundation

/// A line chart as SVG to be put into a page.
struct ReportChart {
    let title: String
    let x: String
    let lines: [(attack: String, points: [(x: Double, y: Double)])]

    private static let width = 560.0
    private static let height = 250.0

    var svg: String {
        let all = lines.flatMap(\.points)
        guard let low = all.map(\.x).min(), let high = all.map(\.x).max() else { return "" }
        let (left, top, right, bottom) = (46.0, 12.0, Self.width - 12, Self.height - 40)
        func place(_ point: (x: Double, y: Double)) -> (x: Double, y: Double) {
            let share = high > low ? (point.x - low) / (high - low) : 0.5
            return (left + share * (right - left), bottom - point.y * (bottom - top))
        }
        var parts = [
            "<svg viewBox='0 0 \(Int(Self.width)) \(Int(Self.height))' role='img' aria-label='\(escaped(title))'>"
        ]
        for tick in stride(from: 0.0, through: 1, by: 0.25) {
            let y = place((low, tick)).y
            parts.append(
                "<path class='grid' d='M\(short(left)) \(short(y))H\(short(right))'/>"
                    + "<text x='\(short(left - 6))' y='\(short(y + 4))' text-anchor='end'>\(Int(100 * tick)) %</text>"
            )
        }
        for value in Set(all.map(\.x)).sorted().thinned(to: 8) {
            parts.append(
                "<text x='\(short(place((value, 0)).x))' y='\(short(bottom + 18))' text-anchor='middle'>"
                    + "\(short(value))</text>")
        }
        parts.append(
            "<text x='\(short((left + right) / 2))' y='\(short(Self.height - 6))' text-anchor='middle'>"
                + "\(escaped(x))</text>")
        for (number, line) in lines.enumerated() {
            let points = line.points.map(place)
            let path = points.map { "\(short($0.x)) \(short($0.y))" }.joined(separator: "L")
            parts.append("<path class='line s\(number)' d='M\(path)'/>")
            parts += points.map {
                "<circle class='s\(number)' cx='\(short($0.x))' cy='\(short($0.y))' r='3'/>"
            }
        }
        let legend = lines.enumerated().map { "<span class='s\($0)'>\(escaped($1.attack))</span>" }
        return "<figure><figcaption>\(escaped(title))</figcaption>\(parts.joined())</svg>"
            + "<p class='legend'>\(legend.joined(separator: " "))</p></figure>"
    }

    /// Shows numbers as squares, blue below zero and red above.
    static func picture(_ rows: [[Float]]) -> String {
        guard let width = rows.first?.count, width > 0 else { return "" }
        let sizes = rows.joined().map { abs($0) }.sorted()
        // With the largest few as the scale, all others would be pale.
        let scale = max(sizes[min(sizes.count - 1, sizes.count * 95 / 100)], .leastNormalMagnitude)
        var parts = [
            "<svg class='picture' viewBox='0 0 \(width) \(rows.count)' shape-rendering='crispEdges' role='img' "
                + "aria-label='numbers that the worker received'>"
        ]
        for (y, row) in rows.enumerated() {
            for (x, value) in row.enumerated() {
                let opacity = String(format: "%.2f", Double(min(1, abs(value) / scale)))
                parts.append(
                    "<rect class='\(value < 0 ? "n" : "p")' x='\(x)' y='\(y)' width='1' height='1' "
                        + "fill-opacity='\(opacity)'/>")
            }
        }
        return parts.joined() + "</svg>"
    }
}

/// A number with as many digits as a picture needs.
private func short(_ value: Double) -> String {
    let text = String(format: "%.2f", value)
    return text.hasSuffix(".00") ? String(text.dropLast(3)) : text
}

/// Escapes a text for HTML.
func escaped(_ text: String) -> String {
    var out = ""
    for character in text.unicodeScalars {
        switch character {
        case "&": out += "&amp;"
        case "<": out += "&lt;"
        case ">": out += "&gt;"
        case "\"": out += "&quot;"
        case "'": out += "&#39;"
        default: out.unicodeScalars.append(character)
        }
    }
    return out
}

extension [Double] {
    /// At most this many of them, evenly chosen.
    fileprivate func thinned(to count: Int) -> [Double] {
        guard self.count > count else { return self }
        return (0..<count).map { self[$0 * (self.count - 1) / (count - 1)] }
    }
}
