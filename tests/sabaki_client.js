// Drives the engine on its command line through @sabaki/gtp, as Sabaki does, and prints what it heard as JSON.
const {ControllerStateTracker} = require('@sabaki/gtp')

const [path, ...args] = process.argv.slice(2)
const tracker = ControllerStateTracker.fromController(path, args, {})
const controller = tracker.controller
const heard = {}

async function ask(name, ...words) {
  const response = await controller.sendCommand({name, args: words.map(String)})
  return (response.error ? '? ' : '') + response.content
}

async function main() {
  controller.start()
  heard.name = await ask('name')
  heard.commands = (await ask('list_commands')).split('\n')
  await tracker.sync({
    boardsize: [9, 9],
    komi: 6.5,
    timeSettings: {mainTime: 0, byoyomiTime: 1, byoyomiStones: 1},
    history: [
      {name: 'set_free_handicap', args: ['C3', 'G7']},
      {name: 'play', args: ['W', 'E5']},
      {name: 'play', args: ['B', 'D4']}
    ]
  })
  heard.black = await ask('list_stones', 'B')
  await tracker.sync({
    boardsize: [9, 9],
    history: [
      {name: 'set_free_handicap', args: ['C3', 'G7']},
      {name: 'play', args: ['W', 'E5']},
      {name: 'play', args: ['B', 'F6']}
    ]
  })
  heard.afterUndo = await ask('list_stones', 'B')
  heard.komi = await ask('get_komi')

  const lines = []
  const analysis = controller.sendCommand({name: 'lz-analyze', args: ['W', '2']}, ({line}) => lines.push(line))
  await new Promise(resolve => setTimeout(resolve, 1000))
  heard.stopped = await ask('protocol_version')
  await analysis
  heard.analysis = lines
  heard.move = await ask('genmove', 'W')
  heard.history = tracker.state.history
  heard.illegal = await ask('play', 'B', 'C3')
  heard.unknown = await ask('undreamt_of')
  heard.size = await ask('boardsize', 99)
  heard.legal = (await ask('all_legal', 'B')).split(' ').length
  const quit = new Promise(resolve => controller.once('stopped', resolve))
  await controller.stop()
  await quit
  console.log(JSON.stringify(heard))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
