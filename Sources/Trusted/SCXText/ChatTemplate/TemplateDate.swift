#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A date and time of day, for templates that tell the model what day it is.
package struct TemplateDate: Sendable {
    package var year: Int
    /// From 1.
    package var month: Int
    package var day: Int
    package var hour: Int
    package var minute: Int
    package var second: Int

    package init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        (self.year, self.month, self.day) = (year, month, day)
        (self.hour, self.minute, self.second) = (hour, minute, second)
    }

    /// Now, in the time zone of this machine.
    package static func now() -> TemplateDate {
        var seconds = time(nil)
        var parts = unsafe tm()
        unsafe localtime_r(&seconds, &parts)
        return unsafe TemplateDate(
            year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday),
            hour: Int(parts.tm_hour), minute: Int(parts.tm_min), second: Int(parts.tm_sec))
    }

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November",
        "December",
    ]
    private static let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

    /// From 1.
    private var dayOfYear: Int {
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return lengths.prefix(max(0, month - 1)).reduce(day, +)
    }

    private var isLeap: Bool {
        year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
    }

    /// From Sunday, 0.
    private var weekday: Int {
        let before = year - 1
        return (before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear) % 7
    }

    /// The date as C's `strftime` writes it in English.
    func formatted(
        _ format: String, fault: (String) -> TemplateError
    ) throws(TemplateError) -> String {
        var result = ""
        var rest = format.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "%" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            let isBare = rest.first == "-"
            if isBare { rest.removeFirst() }
            guard let code = rest.popFirst(), let field = field(code) else {
                throw fault("unsupported code in the format of 'strftime_now'")
            }
            switch field {
            case .text(let text): result += text
            case .number(let number, let width):
                let digits = "\(number)"
                result +=
                    String(repeating: "0", count: isBare ? 0 : max(0, width - digits.utf8.count)) + digits
            }
        }
        return result
    }

    private enum Field {
        case text(String)
        case number(Int, width: Int)
    }

    private func field(_ code: Unicode.Scalar) -> Field? {
        guard (1...12).contains(month) else { return nil }
        let (monthName, dayName) = (Self.months[month - 1], Self.days[weekday])
        return switch code {
        case "Y": .number(year, width: 1)
        case "y": .number(year % 100, width: 2)
        case "m": .number(month, width: 2)
        case "d": .number(day, width: 2)
        case "e": .text(day < 10 ? " \(day)" : "\(day)")
        case "H": .number(hour, width: 2)
        case "I": .number((hour + 11) % 12 + 1, width: 2)
        case "M": .number(minute, width: 2)
        case "S": .number(second, width: 2)
        case "j": .number(dayOfYear, width: 3)
        case "w": .number(weekday, width: 1)
        case "p": .text(hour < 12 ? "AM" : "PM")
        case "B": .text(monthName)
        case "b", "h": .text(String(monthName.prefix(3)))
        case "A": .text(dayName)
        case "a": .text(String(dayName.prefix(3)))
        case "%": .text("%")
        default: nil
        }
    }
}
